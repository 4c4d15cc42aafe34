//! Layers, in every order; mistakes, with what is said about them.

use super::*;

#[derive(clap::Parser, Debug)]
#[command(name = "signalbox", version = "1.2.3")]
struct Program {
    #[command(subcommand)]
    command: Role,
}

#[derive(clap::Subcommand, Debug)]
enum Role {
    /// Everything.
    Up(Settings),
    /// One role.
    Run {
        /// Which.
        roles: Vec<String>,
        #[command(flatten)]
        settings: Settings,
        /// Only for run.
        #[arg(long)]
        replicas: Option<u8>,
    },
}

#[derive(clap::Args, Debug, PartialEq)]
struct Settings {
    /// The port.
    #[arg(long, env = "SIGNALBOX_NATS_PORT", default_value_t = 4222)]
    nats_port: u16,
    /// The database.
    #[arg(long, env = "DATABASE_URL")]
    database_url: Option<String>,
    /// Networks.
    #[arg(long, env = "SIGNALBOX_EGRESS_ALLOW", value_delimiter = ',')]
    egress_allow: Vec<String>,
    /// Be loud.
    #[arg(long, env = "SIGNALBOX_LOUD")]
    loud: bool,
    /// A secret number.
    #[arg(long, env = "SIGNALBOX_PIN", hide_env_values = true)]
    pin: Option<u32>,
}

fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Role, Error> {
    let args = std::iter::once("signalbox").chain(args.iter().copied()).map(OsString::from).collect();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
    layered::<Program>(&Given { args, env }, &["SIGNALBOX_KNOWN"]).map(|program| program.command)
}

fn settings(args: &[&str], env: &[(&str, &str)]) -> Settings {
    match read(args, env) {
        Ok(Role::Up(settings) | Role::Run { settings, .. }) => settings,
        Err(error) => panic!("{error}"),
    }
}

fn wrong(args: &[&str], env: &[(&str, &str)]) -> String {
    match read(args, env) {
        Err(Error::Wrong(text)) => {
            assert!(!text.contains('\n'), "{text}");
            text
        }
        other => panic!("{other:?}"),
    }
}

fn file(text: &str) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("writes");
    let path = file.path().to_str().expect("a path").to_owned();
    (file, path)
}

#[test]
fn the_first_layer_that_says_something_counts() {
    let (_file, path) = file(
        "nats_port = 1\nloud = true\negress-allow = ['10.0.0.0/8', '127.0.0.0/8']\n[database]\nurl = 'sqlite:x'\n",
    );
    let env = [("SIGNALBOX_CONFIG", path.as_str()), ("SIGNALBOX_NATS_PORT", "2"), ("SIGNALBOX_PIN", "")];
    let of = |args: &[&str], env: &[(&str, &str)]| settings(args, env).nats_port;
    assert_eq!(of(&["up"], &[]), 4222);
    assert_eq!(of(&["up"], &env[..1]), 1);
    assert_eq!(of(&["up"], &env), 2);
    assert_eq!(of(&["up", "--nats-port", "3"], &env), 3);
    assert_eq!(of(&["up", "--config", &path], &[]), 1);
    assert_eq!(of(&[&format!("--config={path}"), "up"], &[]), 1);
    let all = settings(&["run", "api", "meter"], &env);
    assert!(all.loud && all.pin.is_none());
    assert_eq!(all.egress_allow, ["10.0.0.0/8", "127.0.0.0/8"]);
    assert_eq!(all.database_url.as_deref(), Some("sqlite:x"));
    let roles = read(&["run", "api", "meter"], &env).expect("reads");
    assert!(matches!(roles, Role::Run { roles, .. } if roles == ["api", "meter"]));
}

#[test]
fn a_file_may_hold_keys_of_another_command() {
    let (_file, path) = file("replicas = 3");
    assert_eq!(settings(&["up", "--config", &path], &[]).nats_port, 4222);
    let run = read(&["run", "--config", &path], &[]).expect("reads");
    assert!(matches!(run, Role::Run { replicas: Some(3), .. }));
}

#[test]
fn a_secret_comes_from_a_file() {
    let (_file, path) = file("1234\n");
    assert_eq!(settings(&["up"], &[("SIGNALBOX_PIN_FILE", &path)]).pin, Some(1234));
    assert_eq!(settings(&["up"], &[("DATABASE_URL_FILE", &path)]).database_url.as_deref(), Some("1234"));
    let both = wrong(&["up"], &[("SIGNALBOX_PIN_FILE", &path), ("SIGNALBOX_PIN", "1")]);
    assert_eq!(both, "SIGNALBOX_PIN and SIGNALBOX_PIN_FILE are both set; keep one");
    let missing = wrong(&["up"], &[("SIGNALBOX_PIN_FILE", "/does/not/exist")]);
    assert!(missing.starts_with("SIGNALBOX_PIN_FILE: cannot read /does/not/exist"), "{missing}");
}

#[test]
fn what_nobody_knows_is_an_error_with_a_suggestion() {
    assert_eq!(
        wrong(&["up"], &[("SIGNALBOX_NATS_PROT", "1")]),
        "unknown environment variable SIGNALBOX_NATS_PROT; did you mean `SIGNALBOX_NATS_PORT`?"
    );
    let known = [("SIGNALBOX_KNOWN", "1"), ("SIGNALBOX_TEST_X", "1"), ("OTHER", "1"), ("VAULT_ADDR", "x")];
    assert_eq!(settings(&["up"], &known).nats_port, 4222);
    let (_file, path) = file("nats_prot = 1");
    let text = wrong(&["up", "--config", &path], &[]);
    assert!(text.ends_with("unknown key `nats-prot`; did you mean `nats-port`?"), "{text}");
    let (_file, path) = file("[nats]\nport = 1\nzzz = 2");
    assert!(
        wrong(&["up", "--config", &path], &[]).ends_with("unknown key `nats-zzz`; did you mean `nats-port`?")
    );
    assert!(wrong(&["up", "--nats-prot", "1"], &[]).contains("--nats-port"));
}

#[test]
fn a_wrong_value_names_its_place_and_no_secret() {
    let text = wrong(&["up"], &[("SIGNALBOX_NATS_PORT", "many")]);
    assert!(text.contains("'many'") && text.ends_with("(from SIGNALBOX_NATS_PORT)"), "{text}");
    let (_file, path) = file("nats_port = 'many'");
    assert!(wrong(&["up", "--config", &path], &[]).contains("(from `nats-port` in "));
    assert_eq!(wrong(&["up"], &[("SIGNALBOX_LOUD", "maybe")]), "SIGNALBOX_LOUD must be true or false");
    for (args, env) in [(&["up"][..], &[("SIGNALBOX_PIN", "hunter2")][..]), (&["up", "--pin=hunter2"], &[])] {
        let text = wrong(args, env);
        assert!(text.starts_with("the value of --pin is not valid") && !text.contains("hunter2"), "{text}");
    }
    let (_file, path) = file("pin = 'hunter2\nnats_port = 1");
    let text = wrong(&["up", "--config", &path], &[]);
    assert!(text.contains(" line 1: ") && !text.contains("hunter2"), "{text}");
}

#[test]
fn help_names_variables_and_no_values() {
    let env = [("SIGNALBOX_PIN", "987654"), ("DATABASE_URL", "postgres://ada:hunter2@db/x")];
    let Err(Error::Show(help)) = read(&["up", "--help"], &env) else { panic!("no help") };
    assert!(
        help.contains("[env: SIGNALBOX_PIN]")
            && help.contains("--config <FILE>")
            && help.contains("default: 4222"),
        "{help}"
    );
    assert!(!help.contains("987654") && !help.contains("hunter2"), "{help}");
    assert!(matches!(read(&["--version"], &env), Err(Error::Show(text)) if text.contains("1.2.3")));
}

#[test]
fn a_part_is_read_from_flags_alone() {
    assert_eq!(flags::<Settings>(&[]).expect("reads").nats_port, 4222);
    assert_eq!(flags::<Settings>(&["--nats-port=7", "--loud"]).expect("reads").nats_port, 7);
    assert!(flags::<Settings>(&["--nats-port=x"]).is_err());
}
