//! The engine's promises: what templates say, what hostile ones cannot do, and where mistakes are.

use super::*;
use serde_json::json;

/// How long a rendering of these tests may take; hostile ones are stopped by it.
const DEADLINE: Duration = Duration::from_secs(2);

fn job(template: &str, variables: Value, lenient: bool) -> Job {
    let Value::Object(variables) = variables else { panic!("variables are an object") };
    Job { template: template.to_owned(), variables, partials: BTreeMap::new(), lenient }
}

fn run(job: Job) -> Result<String, Fault> {
    let on_its_own = std::thread::Builder::new().stack_size(STACK_BYTES);
    let thread = on_its_own.spawn(move || render_here(&job, Instant::now() + DEADLINE)).expect("a thread");
    thread.join().expect("the rendering does not break its thread")
}

fn check(template: &str, variables: Value, expected: &str) {
    assert_eq!(run(job(template, variables, false)).as_deref(), Ok(expected), "{template}");
}

fn wrong(template: &str, variables: Value, code: &str, place: Option<(u32, u32)>) {
    let fault = run(job(template, variables, false)).expect_err(template);
    assert_eq!(fault.code, code, "{template}: {fault:?}");
    assert_eq!(fault.line.zip(fault.column), place, "{template}: {fault:?}");
}

#[test]
fn alerts_are_told_in_the_users_words() {
    let alert =
        json!({"title": "IBM crossed 190", "ticker": "IBM", "price": 190.2, "labels": {"b": "2", "a": "1"}});
    check("{{ title }}: {{ ticker }} at {{ price }}", alert.clone(), "IBM crossed 190: IBM at 190.2");
    check("{% if price > 190 %}up{% else %}down{% endif %}", alert.clone(), "up");
    check("{% for l in labels %}{{ l[0] }}={{ l[1] }};{% endfor %}", alert.clone(), "a=1;b=2;");
    check(
        "{% for i in (1..5) reversed limit:3 offset:1 %}{{ forloop.index }}:{{ i }} {% endfor %}",
        json!({}),
        "1:4 2:3 3:2 ",
    );
    check("{% for i in (1..9) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", json!({}), "12");
    check("{% for i in e %}x{% else %}none{% endfor %}", json!({"e": []}), "none");
    check("{% capture c %}{{ ticker }}!{% endcapture %}{{ c }}{{ c }}", alert, "IBM!IBM!");
}

#[test]
fn own_filters_do_what_channels_need() {
    check("{{ a | json }}", json!({"a": {"z": 1, "b": "q\"\n"}}), r#"{"b":"q\"\n","z":1}"#);
    check("{{ a | slack }}", json!({"a": "<!here> &"}), "&lt;!here&gt; &amp;");
    check("{{ a | discord }}", json!({"a": "*@here*"}), "\\*\\@here\\*");
    check("{{ a | truncate: 5 }}|{{ a | truncate: 4, '…' }}", json!({"a": "abcdefgh"}), "ab...|abc…");
    check("{{ a | join: ', ' }}", json!({"a": [1, "b", 2.5]}), "1, b, 2.5");
    check("{{ a | replace: 'l', 'LL' }}", json!({"a": "hello"}), "heLLLLo");
}

#[test]
fn dates_are_read_as_alerts_write_them() {
    let format = "{{ t | date: '%Y-%m-%d %H:%M' }}";
    check(format, json!({"t": "2026-08-21T14:00:00Z"}), "2026-08-21 14:00");
    check(format, json!({"t": "2026-08-21T14:00:00.123+02:00"}), "2026-08-21 14:00");
    check(format, json!({"t": 1_767_225_600}), "2026-01-01 00:00");
    check(format, json!({"t": "2026-08-21 14:00:00 +0000"}), "2026-08-21 14:00");
    check(format, json!({"t": "not a date"}), "not a date");
    check(
        "{{ t | date: '%H:%M %Z', 'America/New_York' }}",
        json!({"t": "2026-08-21T14:00:00Z"}),
        "10:00 EDT",
    );
}

#[test]
fn mistakes_have_a_place() {
    wrong("Hello\n  {{ tickr }}", json!({"ticker": 1}), "unknown_variable", Some((2, 6)));
    wrong("{{ data.pric }}", json!({"data": {"price": 1}}), "unknown_variable", Some((1, 9)));
    wrong("{% if tickr %}{{ 'tickr' }}{% endif %}\n{{ tickr }}", json!({}), "unknown_variable", Some((2, 4)));
    wrong("{{ a | shout }}", json!({"a": 1}), "invalid_template", Some((1, 8)));
    wrong("a\n{% frob %}", json!({}), "invalid_template", Some((2, 4)));
    wrong("{{ a ", json!({"a": 1}), "invalid_template", Some((1, 4)));
    wrong("{% if a %}", json!({"a": 1}), "invalid_template", Some((1, 11)));
}

#[test]
fn what_the_parser_expects_is_said_in_words() {
    for template in
        ["{{ }}", "{{ a | }}", "{{ a. }}", "{% if %}x{% endif %}", "{% assign %}", "{% for x %}{% endfor %}"]
    {
        let fault = run(job(template, json!({"a": 1}), false)).expect_err("is no template");
        let named = ["Literal", "Identifier", "Value", "Variable", "FilterChain", "EOI", "Tag", "Range"];
        assert!(!named.iter().any(|name| fault.detail.contains(name)), "{template}: {}", fault.detail);
    }
}

#[test]
fn lenient_renderings_leave_unknown_names_empty() {
    let lenient = |template: &str, variables: Value, expected: &str| {
        assert_eq!(run(job(template, variables, true)).as_deref(), Ok(expected), "{template}");
    };
    lenient("[{{ a }}{{ a.b.c }}{{ known.x }}]", json!({"known": {"y": 1}}), "[]");
    lenient("{{ a | default: 'none' }}{{ known.y }}", json!({"known": {"y": 1}}), "none1");
    lenient(
        "{% for i in list %}{{ i.x }}{{ i.y }},{% endfor %}{% for i in a %}x{% endfor %}",
        json!({"list": [{"x": 1}, {"y": 2}]}),
        "1,2,",
    );
    lenient("{% if a.b %}yes{% else %}no{% endif %}{{ list[5] }}{{ list[0] }}", json!({"list": [7]}), "no7");
    lenient(
        "{{ list | size }}{{ named | json }}{{ text | upcase }}",
        json!({"list": [1, 2], "named": {"b": [1]}, "text": "x"}),
        r#"2{"b":[1]}X"#,
    );
}

#[test]
fn partials_see_what_they_are_given() {
    let mut job = job("{% render 'row', a: x %}|{% include 'all' %}", json!({"x": 1, "y": 2}), false);
    job.partials.insert("row".to_owned(), "{{ a }}".to_owned());
    job.partials.insert("all".to_owned(), "{{ y }}".to_owned());
    assert_eq!(run(job.clone()).as_deref(), Ok("1|2"));
    job.partials.insert("row".to_owned(), "{{ y }}".to_owned());
    assert_eq!(run(job).expect_err("y is not given").code, "unknown_variable");
}

#[test]
fn a_partial_that_includes_itself_ends() {
    let mut job = job("{% include 'a' %}", json!({}), false);
    job.partials.insert("a".to_owned(), "x{% include 'a' %}{% include 'a' %}".to_owned());
    assert_eq!(run(job).expect_err("it has no end").code, "template_limit");
}

#[test]
fn hostile_templates_are_stopped() {
    let doubling =
        format!("{{% assign a = 'x' %}}{}{{{{ a }}}}", "{% assign a = a | append: a %}".repeat(40));
    let lists =
        format!("{{% assign a = 'a b' | split: ' ' %}}{}", "{% assign a = a | concat: a %}".repeat(40));
    let captured = "{% capture c %}{% for i in (1..900) %}{{ x }}{% endfor %}{% endcapture %}".to_owned();
    let bombs = [
        "{% for i in (1..1000000000) limit:1 %}{% endfor %}".to_owned(),
        "{% for i in (1..10000000) %}x{% endfor %}".to_owned(),
        "{% for i in (-9223372036854775807..9223372036854775807) %}x{% endfor %}".to_owned(),
        "{% for a in (1..300) %}{% for b in (1..300) %}{% for c in (1..300) %}{% endfor %}{% endfor %}{% endfor %}".to_owned(),
        "{% if a %}".repeat(5_000),
        doubling,
        lists,
        captured,
        "{{ x | replace: '', x }}".to_owned(),
        "{{ x | split: '' | join: x }}".to_owned(),
        "{% for i in (1..900) %}{{ x }}{% endfor %}".to_owned(),
        format!("{{{{ {}{} }}}}", "a[".repeat(50_000), "]".repeat(50_000)),
        "{{ x".repeat(20_000),
    ];
    let x = "y".repeat(60_000);
    for bomb in bombs {
        let begun = Instant::now();
        let fault = run(job(&bomb, json!({ "x": x, "a": 1 }), false)).expect_err("a bomb is not rendered");
        let shown: String = bomb.chars().take(80).collect();
        assert_eq!(fault.code, "template_limit", "{shown}: {fault:?}");
        assert!(begun.elapsed() < DEADLINE * 2, "{shown}");
    }
}

#[test]
fn what_breaks_the_engine_does_not_break_the_program() {
    for broken in [
        "{% comment %}{%- for ? -%}{% endcomment %}",
        "{{ 99999999999999999999999 }}",
        "{{ 9223372036854775807 | plus: 1 }}",
        "{{ 1 | divided_by: 0 }}",
        "{% endif %}",
        "{{ 'a' | date: '%!' }}",
    ] {
        // Any answer is right, as long as there is one.
        let _ = run(job(broken, json!({}), false));
    }
}

#[test]
fn the_deepest_template_that_is_let_through_fits_its_stack() {
    let deep =
        format!("{}x{}", "{% if true %}".repeat(scan::BLOCKS_MAX), "{% endif %}".repeat(scan::BLOCKS_MAX));
    check(&deep, json!({}), "x");
}

#[tokio::test]
async fn the_engine_renders_beside_the_runtime() {
    let engine = Engine::new(DEADLINE, 2, None);
    let jobs = (0..20).map(|n| engine.render(job("{{ n }}", json!({ "n": n }), false)));
    let texts = futures_util::future::join_all(jobs).await;
    assert!(texts.iter().enumerate().all(|(n, text)| text.as_deref() == Ok(n.to_string().as_str())));
}
