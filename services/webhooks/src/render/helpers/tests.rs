//! The promises of helper processes, with this test's own program as the helper.

use serde_json::{Value, json};

use super::*;
use crate::render::Engine;

/// How long a rendering of these tests may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long a fact may take to come true.
const PATIENCE: Duration = Duration::from_secs(20);

/// This test's program, which becomes a helper by running one test of it.
pub(crate) fn renderer() -> Renderer {
    let me = "render::helpers::tests::is_a_helper_when_it_is_asked_to_be";
    Renderer::this_program(&["--exact", me, "--ignored", "--nocapture"]).expect("a test has a program")
}

#[test]
#[ignore = "is run by other tests, as their helper"]
fn is_a_helper_when_it_is_asked_to_be() {
    crate::render_templates().expect("its parent asks as it should");
}

fn engine() -> Engine {
    Engine::new(DEADLINE, 2, Some(renderer()))
}

fn job(template: &str, variables: Value) -> Job {
    let Value::Object(variables) = variables else { panic!("variables are an object") };
    Job { template: template.to_owned(), variables, ..Job::default() }
}

fn idle(engine: &Engine) -> Vec<u32> {
    let helpers = engine.helpers.as_ref().expect("it has helpers");
    let idle = helpers.idle.lock().expect("nobody panicked");
    idle.iter().filter_map(|helper| helper.child.id()).collect()
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is ours to kill");
}

#[tokio::test]
async fn helpers_say_what_the_engine_says() {
    let engine = engine();
    let said = engine.render(job("{{ a }}\n", json!({"a": "é"}))).await;
    assert_eq!(said.as_deref(), Ok("é\n"));
    let fault = engine.render(job("\n {{ b }}", json!({}))).await.expect_err("`b` is unknown");
    assert_eq!((fault.code, fault.line, fault.column), ("unknown_variable", Some(2), Some(5)));
    assert_eq!(idle(&engine).len(), 1, "both were rendered by one helper");
}

#[tokio::test(flavor = "multi_thread")]
async fn renderings_run_beside_each_other_and_no_more_than_allowed() {
    let engine = engine();
    let jobs = (0..20).map(|n| engine.render(job("{{ n }}", json!({ "n": n }))));
    let texts = futures_util::future::join_all(jobs).await;
    assert!(texts.iter().enumerate().all(|(n, text)| text.as_deref() == Ok(n.to_string().as_str())));
    assert_eq!(idle(&engine).len(), 2);
}

#[tokio::test]
async fn a_helper_that_was_killed_is_replaced() {
    let engine = engine();
    assert!(engine.render(job("x", json!({}))).await.is_ok());
    let before = idle(&engine);
    kill(before[0]);
    assert_eq!(engine.render(job("y", json!({}))).await.as_deref(), Ok("y"));
    assert_ne!(idle(&engine), before);
}

#[tokio::test]
async fn a_template_that_ends_its_helper_is_refused_and_the_next_one_is_rendered() {
    let engine = engine();
    // A list of so many small things passes the bounds of a question and takes more memory than a helper may.
    let wide: Vec<Value> = (0..1_900_000).map(|_| json!(1)).collect();
    let bomb = job("{% for a in b %}{{ a }}{% endfor %}", json!({ "b": wide }));
    let fault = engine.render(bomb).await.expect_err("a helper has not so much memory");
    assert_eq!(fault.code, "template_limit");
    assert_eq!(fault.detail, format!("{} too much memory or time", budget::LIMIT));
    assert_eq!(engine.render(job("y", json!({}))).await.as_deref(), Ok("y"));
}

#[tokio::test]
async fn a_helper_that_hangs_is_killed_in_time() {
    let engine = Engine::new(Duration::from_millis(300), 1, Some(renderer()));
    assert!(engine.render(job("x", json!({}))).await.is_ok());
    let before = idle(&engine)[0];
    let pid = rustix::process::Pid::from_raw(i32::try_from(before).expect("a process id")).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("it is ours to stop");
    // The signal is taken in its own time.
    let stopped =
        || std::fs::read_to_string(format!("/proc/{before}/stat")).is_ok_and(|stat| stat.contains(") T "));
    let stops = async {
        while !stopped() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, stops).await.expect("it was stopped");
    let fault = engine.render(job("x", json!({}))).await.expect_err("it hangs");
    assert_eq!((fault.code, fault.detail), ("template_limit", format!("{} too much time", budget::LIMIT)));
    let gone = async {
        while Path::new(&format!("/proc/{before}")).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("it was killed");
    assert_eq!(engine.render(job("y", json!({}))).await.as_deref(), Ok("y"));
}

#[tokio::test]
async fn bombs_are_refused_or_stopped_and_the_helper_stays() {
    let engine = engine();
    let x = "y".repeat(60_000);
    for bomb in [
        "{% if a %}".repeat(5_000),
        format!("{{{{ {}{} }}}}", "a[".repeat(50_000), "]".repeat(50_000)),
        "{% for i in (1..1000000000) limit:1 %}{% endfor %}".to_owned(),
        format!("{{% assign a = 'x' %}}{}{{{{ a }}}}", "{% assign a = a | append: a %}".repeat(40)),
        "{{ x | replace: '', x }}".to_owned(),
        "{% for a in (1..300) %}{% for b in (1..300) %}{% for c in (1..300) %}{% endfor %}{% endfor %}{% endfor %}"
            .to_owned(),
    ] {
        let fault = engine.render(job(&bomb, json!({"a": 1, "x": x}))).await.expect_err("a bomb");
        let shown: String = bomb.chars().take(60).collect();
        assert_eq!(fault.code, "template_limit", "{shown}: {fault:?}");
        assert_eq!(engine.render(job("y", json!({}))).await.as_deref(), Ok("y"), "{shown}");
    }
    assert_eq!(idle(&engine).len(), 1);
}

#[tokio::test]
async fn a_helper_sees_no_environment_and_has_bounds() {
    let engine = engine();
    assert!(engine.render(job("x", json!({}))).await.is_ok());
    let read =
        |what: &str| std::fs::read_to_string(format!("/proc/{}/{what}", idle(&engine)[0])).expect(what);
    assert_eq!(read("environ"), "MALLOC_ARENA_MAX=1\0");
    let limits = read("limits");
    let limit = |name: &str| limits.lines().find(|line| line.starts_with(name)).expect(name).to_owned();
    assert!(!limit("Max address space").contains("unlimited"));
    assert!(limit("Max cpu time").contains(" 60 "));
    assert!(limit("Max core file size").contains(" 0 "));
}

#[tokio::test]
async fn what_is_no_helper_renders_nothing() {
    for program in ["/bin/true", "/nowhere/at/all", "/usr/bin/yes"] {
        let renderer = Renderer { program: program.into(), ..renderer() };
        let engine = Engine::new(DEADLINE, 1, Some(renderer));
        let fault = engine.render(job("x", json!({}))).await.expect_err(program);
        assert_eq!(fault.code, "busy", "{program}");
    }
}
