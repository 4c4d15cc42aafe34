//! Asks for packed relative relocations (DT_RELR) where the C library knows them, which glibc does since 2.36.
//!
//! A position-independent program of this size has tens of thousands of places to fill in when it starts. Listed one by one they
//! are over a megabyte that every process reads and then keeps; packed they are some twenty kilobytes.

use std::env;
use std::process::Command;

/// The first glibc that knows them, by the release notes of 2.36 (its file `NEWS`).
const GLIBC_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let here = env::var("HOST").ok() == env::var("TARGET").ok();
    let gnu = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if here && gnu && glibc().is_some_and(|version| version >= GLIBC_SINCE) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of the C library of this machine, as `getconf` has it: `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
