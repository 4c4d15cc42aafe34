//! T01, T04: spellings of targets, refused and allowed.

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().expect("a net")
}

/// What the guard says: the canonical URL, or the word of the refusal.
fn said(guard: &Guard, url: &str) -> String {
    match guard.check_url(url) {
        Ok(target) => target.url().to_owned(),
        Err(refusal) => refusal.as_str().to_owned(),
    }
}

#[test]
fn spellings_of_private_targets_are_refused() {
    let guard = Guard::new(Vec::new()).with_plain_http(true);
    let address = [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://0177.0.0.01/",
        "http://017700000001/",
        "http://0x7f.0x0.0x0.0x1/",
        "http://127.0.0.1./",
        "http://0/",
        "http://0.0.0.0/",
        "http://0x0/",
        "http://00000.0/",
        "http://１２７.０.０.１/",
        "http://127。0。0。1/",
        "http://①②⑦.0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http://127.0.0.%31/",
        "http://10.0.0.1/",
        "http://012.0.0.1/",
        "http://192.168.0.1/",
        "http://192.168.257/",
        "http://172.16.0.1/",
        "http://100.64.0.1/",
        "http://198.18.0.1/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://4294967295/",
        "http://[::1]/",
        "http://[::]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::127.0.0.1]/",
        "http://[0:0:0:0:0:ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[fc00::1]/",
        "http://[fd00::1]/",
        "http://[fe80::1]/",
        "http://[fec0::1]/",
        "http://[ff02::1]/",
        "http://[2001:db8::1]/",
        "http://[2001::1]/",
        "https://127.0.0.1/",
        "https://127.0.0.1:443/x?y=z",
    ];
    for url in address {
        assert_eq!(said(&guard, url), "address", "{url}");
    }
    let others = [
        ("http://169.254.169.254/latest/meta-data/", "metadata_address"),
        ("http://0xa9fea9fe/", "metadata_address"),
        ("http://2852039166/", "metadata_address"),
        ("http://[::ffff:169.254.169.254]/", "metadata_address"),
        ("http://[fd00:ec2::254]/", "metadata_address"),
        ("http://168.63.129.16/", "metadata_address"),
        ("http://metadata.google.internal/computeMetadata/v1/", "metadata_name"),
        ("http://METADATA.google.INTERNAL./", "metadata_name"),
        ("https://localhost/", "local_name"),
        ("https://LOCALHOST/", "local_name"),
        ("https://localhost./", "local_name"),
        ("https://ⓛocalhost/", "local_name"),
        ("https://a.localhost/", "local_name"),
        ("https://printer.local/", "local_name"),
        ("https://vault.internal/", "local_name"),
        ("https://nas.home.arpa/", "local_name"),
        ("https://intranet/", "local_name"),
        ("https://nats:443/", "local_name"),
    ];
    for (url, word) in others {
        assert_eq!(said(&guard, url), word, "{url}");
    }
}

#[test]
fn texts_that_the_parser_would_forgive_are_refused() {
    let guard = Guard::new(Vec::new());
    let table = [
        ("https://exa\tmple.com/", "character"),
        ("https://exa\nmple.com/", "character"),
        (" https://example.com/", "character"),
        ("https://example.com/ ", "character"),
        ("https://example.com/a b", "character"),
        ("https:\\\\example.com/", "character"),
        ("https://example.com\\@127.0.0.1/", "character"),
        ("https://exam\u{ad}ple.com/", "character"),
        ("https://exam\u{200b}ple.com/", "character"),
        ("https://example.com/\u{0}", "character"),
        ("https://example.com/\u{85}", "character"),
        ("ht\ntp://127.0.0.1/", "character"),
        ("https:127.0.0.1", "scheme"),
        ("https:/example.com/", "scheme"),
        ("https:///127.0.0.1/", "scheme"),
        ("https://", "scheme"),
        ("https://?x", "scheme"),
        ("//example.com/", "scheme"),
        ("example.com", "scheme"),
        ("", "scheme"),
        ("ftp://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://127.0.0.1:70/", "scheme"),
        ("ws://example.com/", "scheme"),
        ("javascript://example.com/", "scheme"),
        ("data:text/plain,hi", "scheme"),
        ("https://user@example.com/", "user_info"),
        ("https://user:pass@example.com/", "user_info"),
        ("https://@example.com/", "user_info"),
        ("https://:@example.com/", "user_info"),
        ("https://example.com:443@127.0.0.1/", "user_info"),
        ("https://example.com/#top", "fragment"),
        ("https://example.com#@evil.com/", "fragment"),
        ("https://example.com:0/", "port"),
        ("https://example.com:22/", "port"),
        ("https://example.com:6379/", "port"),
        ("https://example.com:65536/", "malformed"),
        ("https://example.com:x/", "malformed"),
        ("https://[::1%25eth0]/", "malformed"),
        ("https://[fe80::1%eth0]/", "malformed"),
        ("https://[::1/", "malformed"),
        ("https://a..b.com/", "malformed"),
        ("https://./", "malformed"),
        ("https://.example.com/", "malformed"),
        ("https://example.com../", "malformed"),
        ("https://256.256.256.256/", "malformed"),
        ("https://1.2.3.4.5/", "malformed"),
        ("https://exa mple.com/", "character"),
        ("https://example.com%00.evil.com/", "malformed"),
        ("https://example.com%2f@evil.com/", "user_info"),
        ("https://exam*ple.com/", "malformed"),
        ("http://example.com/", "plain_http"),
        ("http://8.8.8.8/", "plain_http"),
        ("HTTP://example.com/", "plain_http"),
    ];
    for (url, word) in table {
        assert_eq!(said(&guard, url), word, "{url:?}");
    }
    assert_eq!(said(&guard, &format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX))), "too_long");
    assert_eq!(said(&guard, &format!("https://{}.com/", "a".repeat(64))), "malformed");
    assert_eq!(said(&guard, &format!("https://{}com/", "a.".repeat(140))), "malformed");
}

#[test]
fn what_is_refused_says_what_to_change() {
    let closed = Guard::new(Vec::new());
    let sentence = |guard: &Guard, url: &str| guard.check_url(url).expect_err("is refused").to_string();
    for url in ["https://127.0.0.1/", "https://localhost/", "https://8.8.8.8:22/", "http://8.8.8.8/"] {
        assert!(sentence(&closed, url).contains("`SIGNALBOX_EGRESS_ALLOW`"), "{url}");
    }
    let (https, both) = ("with `https://` and", "with `https://` or `http://` and");
    assert!(sentence(&closed, "ftp://example.com/").contains(https));
    let opened = [Guard::new(vec![net("10.0.0.0/8")]), Guard::new(Vec::new()).with_plain_http(true)];
    for guard in opened {
        assert!(sentence(&guard, "ftp://example.com/").contains(both));
    }
}

#[test]
fn public_targets_pass_in_one_form() {
    let guard = Guard::new(Vec::new());
    let table = [
        ("https://example.com", "https://example.com/"),
        ("https://example.com/", "https://example.com/"),
        ("HTTPS://Example.COM/Path?Q=1", "https://example.com/Path?Q=1"),
        ("https://example.com:443/", "https://example.com/"),
        ("https://example.com:80/", "https://example.com:80/"),
        ("https://example.com./x", "https://example.com/x"),
        ("https://api.polygon.io/v1/marketstatus/now", "https://api.polygon.io/v1/marketstatus/now"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://a_b.example.com/", "https://a_b.example.com/"),
        ("https://localhost.example.com/", "https://localhost.example.com/"),
        ("https://notlocalhost.com/", "https://notlocalhost.com/"),
        ("https://internal.example.com/", "https://internal.example.com/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://0x08.8.8.8/", "https://8.8.8.8/"),
        ("https://134744072/", "https://8.8.8.8/"),
        ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
        ("https://[2606:4700:4700:0:0:0:0:1111]:443/", "https://[2606:4700:4700::1111]/"),
        ("https://example.com/a/../b", "https://example.com/b"),
        ("https://example.com/a%20b?c=d&c=%26", "https://example.com/a%20b?c=d&c=%26"),
        ("https://example.com?x=@y", "https://example.com/?x=@y"),
        ("https://example.com/@me", "https://example.com/@me"),
        ("https://1.1.1.1/dns-query", "https://1.1.1.1/dns-query"),
        ("https://hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com/services/T0/B0/x"),
        ("https://11.0.0.1/", "https://11.0.0.1/"),
        ("https://172.32.0.1/", "https://172.32.0.1/"),
    ];
    for (url, form) in table {
        assert_eq!(said(&guard, url), form, "{url}");
        assert_eq!(said(&guard, form), form, "{form} must keep its form");
    }
}

#[test]
fn an_opened_network_forgives_port_scheme_and_local_names_but_no_metadata() {
    let guard =
        Guard::new(vec![net("127.0.0.0/8"), net("169.254.0.0/16"), net("fd00::/8"), net("100.64.0.0/10")]);
    for url in [
        "http://127.0.0.1:8080/",
        "http://127.1:1/",
        "https://[fd12::1]:8443/",
        "http://localhost:8080/",
        "http://nats:8222/",
        "http://example.com:9/",
    ] {
        assert!(guard.check_url(url).is_ok(), "{url}");
    }
    for url in [
        "http://169.254.169.254/",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200/",
        "http://metadata.google.internal/",
    ] {
        assert!(said(&guard, url).starts_with("metadata"), "{url}");
    }
    assert_eq!(said(&guard, "http://10.0.0.1/"), "address");
    assert_eq!(said(&guard, "https://8.8.8.8:22/"), "port");
    assert_eq!(said(&guard, "http://127.0.0.1:0/"), "port");
}

#[test]
fn one_wrong_address_refuses_the_name() {
    let guard = Guard::new(vec![net("10.0.0.0/8")]);
    let ips = |texts: &[&str]| texts.iter().map(|t| t.parse().expect("an address")).collect::<Vec<IpAddr>>();
    let check = |url: &str, texts: &[&str]| {
        let target = guard.check_url(url).expect("passes before it is resolved");
        target.check_resolved(&guard, &ips(texts)).map_err(|refusal| refusal.as_str())
    };
    assert_eq!(check("https://example.com/", &["8.8.8.8", "2606:4700::1"]), Ok(()));
    assert_eq!(check("https://example.com/", &["8.8.8.8", "10.0.0.1"]), Ok(()));
    assert_eq!(check("https://example.com/", &["8.8.8.8", "127.0.0.1"]), Err("resolved"));
    assert_eq!(check("https://example.com/", &["8.8.8.8", "::ffff:192.168.0.1"]), Err("resolved"));
    assert_eq!(check("https://example.com/", &["10.0.0.1", "169.254.169.254"]), Err("metadata_address"));
    assert_eq!(check("http://vault.internal:8200/", &["10.0.0.1"]), Ok(()));
    assert_eq!(check("http://vault.internal:8200/", &["10.0.0.1", "8.8.8.8"]), Err("local_name"));
    assert_eq!(check("https://example.com:8443/", &["8.8.8.8"]), Err("port"));
    assert_eq!(check("http://example.com/", &["8.8.8.8"]), Err("plain_http"));
}

#[test]
fn a_request_is_judged_by_its_authority() {
    let guard = Guard::new(Vec::new());
    let uri = |text: &str| text.parse::<Uri>().expect("an uri");
    let target = guard.check_uri(&uri("https://Example.com:443/a/../b?x=1")).expect("is public");
    assert_eq!((target.host(), target.port(), target.authority()), ("example.com", 443, "example.com"));
    assert!(guard.check_uri(&uri("/only/a/path")).is_err());
    assert!(guard.check_uri(&uri("https://user@example.com/")).is_err());
    assert!(guard.check_uri(&uri("https://0x7f.1/")).is_err());
}

#[test]
fn remembered_targets_are_bounded_and_belong_to_one_guard() {
    let guard = Guard::new(Vec::new()).with_plain_http(true);
    let uri = |text: String| text.parse::<Uri>().expect("an uri");
    for n in 0..PASSED_MAX * 2 + 1 {
        assert!(guard.check_uri(&uri(format!("http://h{n}.example.com/"))).is_ok());
        assert!(guard.passed.read().expect("not poisoned").len() <= PASSED_MAX);
    }
    let last = uri(format!("http://h{}.example.com/other/path", PASSED_MAX * 2));
    assert!(guard.check_uri(&last).is_ok());
    let stricter = guard.clone().with_plain_http(false);
    assert_eq!(stricter.check_uri(&last), Err(Refusal::PlainHttp));
    assert_eq!(guard.with_ports(vec![443]).check_uri(&last), Err(Refusal::Port(80)));
}
