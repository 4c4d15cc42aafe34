//! Builds the crate again when a provider's file is added or removed: what embeds them sees only changes to known ones.

fn main() {
    println!("cargo::rerun-if-changed=providers");
}
