//! The real program renders templates in a process of its own: what ends that one is noticed by nobody.

use std::fs;
use std::path::Path;

use harness::{Program, until};
use serde_json::{Value, json};
use tokio::process::Command;

/// The helper processes of the program that runs on a directory.
fn helpers(data: &Path) -> Vec<String> {
    let words = |pid: &str| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let parent = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:")).map(|pid| pid.trim().to_owned())
    };
    let on_data = |pid: &str| String::from_utf8_lossy(&words(pid)).contains(&*data.to_string_lossy());
    let entries = fs::read_dir("/proc").expect("Linux has /proc").flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|pid| words(pid).ends_with(b"\0render-templates\0"))
        .filter(|pid| parent(pid).is_some_and(|parent| on_data(&parent)))
        .collect()
}

async fn render(program: &Program, template: &str) -> (u16, Value) {
    program.admin.post("/templates:render", json!({"template": template, "variables": {"a": "x"}})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_may_end_the_process_that_renders_it_and_no_other() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let program = Program::start(&data).await;
    assert_eq!(render(&program, "{{ a }}!").await, (200, json!({"output": "x!"})));

    let first = helpers(&data);
    assert_eq!(first.len(), 1, "one is enough for one rendering after the other: {first:?}");
    let environment = fs::read(format!("/proc/{}/environ", first[0])).expect("it runs");
    assert_eq!(String::from_utf8_lossy(&environment), "MALLOC_ARENA_MAX=1\0", "it holds no secret");

    let (status, problem) =
        render(&program, "{% for i in (1..300) %}{% for j in (1..300) %}{% endfor %}{% endfor %}").await;
    assert_eq!((status, &problem["code"]), (422, &json!("template_limit")), "{problem}");

    let killed = Command::new("kill").args(["-KILL", &first[0]]).status().await.expect("kill runs");
    assert!(killed.success());
    assert_eq!(render(&program, "{{ a }}?").await, (200, json!({"output": "x?"})));
    let second = helpers(&data);
    assert!(!second.contains(&first[0]), "{second:?}");

    program.kill().await;
    let gone =
        || async { second.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()).then_some(()) };
    until("the helper to end with the program", gone).await;
}
