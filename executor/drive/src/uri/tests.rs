//! The grammar by tables, and against libvirt's own way of reading a URI by chance.

use proptest::prelude::*;

use super::{HostUri, Origin, Pattern, Reason, check_migrate_uri, without_password};

/// What libvirt makes of a URI: more than any of its drivers takes. Names of parameters are decoded and their case does not
/// count; `;` separates them as well; the transport's case does not count.
struct Libvirt {
    transport: String,
    userinfo: String,
    names: Vec<String>,
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, length) = escape.filter(|_| bytes[at] == b'%').map_or((bytes[at], 1), |byte| (byte, 3));
        out.push(byte);
        at += length;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn libvirt(uri: &str) -> Libvirt {
    let (scheme, rest) = uri.split_once(':').unwrap_or((uri, ""));
    let rest = rest.split('#').next().unwrap();
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = before.strip_prefix("//").unwrap_or("").split('/').next().unwrap();
    let names = query.split(['&', ';']).filter(|pair| !pair.is_empty());
    Libvirt {
        transport: scheme.split_once('+').map_or("", |(_, transport)| transport).to_ascii_lowercase(),
        userinfo: decoded(authority.rsplit_once('@').map_or("", |(userinfo, _)| userinfo)),
        names: names.map(|pair| decoded(pair.split('=').next().unwrap()).to_ascii_lowercase()).collect(),
    }
}

const OF_REQUESTS: [&str; 2] = ["mode", "no_tty"];
const OF_NOBODY: [&str; 3] = ["command", "netcat", "name"];

fn check(text: &str) {
    for origin in [Origin::Request, Origin::Operator] {
        let Ok(uri) = HostUri::parse(text, origin) else { continue };
        assert_eq!(HostUri::parse(uri.as_str(), origin).unwrap(), uri, "its own spelling is another URI");
        assert!(uri.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{uri}");
        // Neither what is opened nor what was written means anything else to libvirt.
        for read in [libvirt(uri.as_str()), libvirt(text)] {
            let transports = ["", "unix", "ssh", "libssh", "libssh2", "tls", "tcp"];
            assert!(transports.contains(&&*read.transport), "{text}");
            assert!(!read.userinfo.contains(':'), "{text}");
            assert!(!read.names.iter().any(|name| OF_NOBODY.contains(&&**name)), "{text}");
            let of_request = read.names.iter().all(|name| OF_REQUESTS.contains(&&**name));
            assert!(of_request || origin == Origin::Operator, "{text}");
            let mut names = read.names.clone();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), read.names.len(), "{text}");
        }
    }
}

/// One of these, which `|` separates.
fn part(of: &'static str) -> impl Strategy<Value = String> {
    prop::sample::select(of.split('|').map(str::to_owned).collect::<Vec<_>>())
}

const SCHEMES: &str = "qemu|QEMU|test|sim|xen|qemu+ssh|qemu+SSH|qemu+ext|qemu+Ext|qemu+ext+ssh|qemu+tcp|qemu+tls|qemu+unix|\
                       qemu+libssh|qemu+libssh2|sim+ext|test+ext|qemu+e%78t|qemu+";
const AUTHORITIES: &str = "|beta|BETA|root@beta|root:pw@beta|root%3Apw@beta|a@b@beta|[fe80::1]:22|beta:22|beta:0|-oProxyCommand=x|\
                           b$(id)|beta%2fx|\u{202e}beta|*";
const PATHS: &str = "|/|/system|/session|/default|/system/|//system|/system%3Fcommand=x|/tmp/x";
const NAMES: &str = "mode|MODE|no_tty|command|Command|comm%61nd|%63ommand|netcat|proxy|keyfile|key%66ile|sshauth|known_hosts|socket|\
                     pkipath|no_verify|name|n%61me|authfile||x";
const VALUES: &str = "auto|direct|1|/x|%2Fx|a b|a;command=x|a&command=x||%|a#b|%00";

/// URIs that are nearly right, of pieces that mean something to libvirt.
fn likely() -> impl Strategy<Value = String> {
    let parameter = (part(NAMES), part("=||%3D"), part(VALUES))
        .prop_map(|(name, is, value)| format!("{name}{is}{value}"));
    let query = (prop::collection::vec((part("&|;|?|#"), parameter), 0..4), any::<bool>());
    (part(SCHEMES), part("://|:|:/|:///"), part(AUTHORITIES), part(PATHS), query).prop_map(
        |(scheme, colon, authority, path, (parameters, question))| {
            let mut text = format!("{scheme}{colon}{authority}{path}");
            for (index, (joint, parameter)) in parameters.iter().enumerate() {
                text.push_str(if index == 0 && question { "?" } else { joint });
                text.push_str(parameter);
            }
            text
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_carries_nothing_that_libvirt_would_obey(text in likely()) {
        check(&text);
    }

    #[test]
    fn no_text_at_all_is_accepted_with_what_it_must_not_carry(text in "(qemu|sim|test)(\\+[a-z]{1,6})?://[ -~]{0,40}") {
        check(&text);
    }

    #[test]
    fn no_refusal_repeats_a_password(user in "[a-z]{0,5}", password in "[a-z1/?#@:%=]{0,4}Zx9Secret[a-z/?#@:=]{0,4}", rest in "[a-z./?=&]{0,12}") {
        let text = format!("qemu+ssh://{user}:{password}@{rest}");
        let error = HostUri::parse(&text, Origin::Operator).unwrap_err().to_string().to_ascii_lowercase();
        prop_assert!(!error.contains("zx9secret"), "{error}");
        prop_assert!(!without_password(&text).contains("Zx9Secret"));
    }
}

fn reason(text: &str, origin: Origin) -> Reason {
    HostUri::parse(text, origin).unwrap_err().reason
}

#[test]
fn usual_uris_are_accepted_in_one_spelling() {
    for (text, spelt) in [
        ("qemu:///system", "qemu:///system"),
        ("QEMU:///session", "qemu:///session"),
        ("qemu+ssh://root@Beta.Example/system", "qemu+ssh://root@beta.example/system"),
        (
            "qemu+SSH://beta:0022/system?no_tty=1&mode=direct",
            "qemu+ssh://beta:22/system?no_tty=1&mode=direct",
        ),
        ("qemu+tls://[2001:DB8:0::1]:16514/system", "qemu+tls://[2001:db8::1]:16514/system"),
        ("qemu+tcp://192.0.2.12/system", "qemu+tcp://192.0.2.12/system"),
        ("qemu+libssh2://beta/system", "qemu+libssh2://beta/system"),
        ("qemu+unix:///system", "qemu+unix:///system"),
        ("qemu://beta/system", "qemu://beta/system"),
        ("sim://Beta/", "sim://Beta"),
        ("test:///default", "test:///default"),
    ] {
        assert_eq!(HostUri::parse(text, Origin::Request).unwrap().as_str(), spelt);
    }
    let own = "qemu+libssh://root@beta/system?sshauth=privkey&keyfile=/etc/keys/my%20key";
    assert_eq!(HostUri::parse(own, Origin::Operator).unwrap().as_str(), own);
    assert_eq!(reason(own, Origin::Request), Reason::NotFromRequest("sshauth"));
    let tunnel = HostUri::through_socket("/run/whimbrel/a b/daemon");
    assert_eq!(HostUri::parse(&tunnel, Origin::Operator).unwrap().as_str(), tunnel);
}

#[test]
fn what_runs_a_program_is_refused_whoever_writes_it() {
    let program = |name: &str| Reason::Program(name.to_owned());
    for origin in [Origin::Request, Origin::Operator] {
        assert_eq!(reason("qemu+ext:///system?command=/sbin/poweroff", origin), program("ext"));
        assert_eq!(reason("qemu+EXT:///system", origin), program("ext"));
        assert_eq!(reason("qemu+ssh://beta/system?command=/x", origin), program("command"));
        assert_eq!(reason("qemu+ssh://beta/system?mode=auto&NetCat=/x", origin), program("netcat"));
        for text in [
            "qemu+ssh://beta/system?comm%61nd=/x",
            "qemu+ssh://beta/system?name=qemu%2Bext:///system",
            "qemu+ssh://beta/system?mode=auto;command=/x",
            "qemu+ssh://beta/system?mode=auto&mode=auto",
            "qemu+ssh://beta/system?",
            "qemu+ssh://beta/system#x",
            "qemu+ssh://beta/system?socket",
            "qemu+ssh:///system",
            "qemu+unix://beta/system",
            "qemu+ssh://a b@beta/system",
            "qemu+ssh://root@/system",
            "qemu+ssh://beta:+22/system",
            "qemu+ssh://beta/embed",
            "qemu+ssh://b\u{202e}eta/system",
            "qemu+ssh://beta\u{0}/system",
            "sim://",
            "sim://beta?x=y",
            "sim:beta",
            "xen:///system",
            "test+ssh://beta/default",
            "nonsense",
            "",
        ] {
            assert!(HostUri::parse(text, origin).is_err(), "{text}");
        }
    }
    assert_eq!(reason("qemu+ssh://root:pw@beta/system", Origin::Operator), Reason::Password);
    let error = HostUri::parse("root:pw9@beta", Origin::Request).unwrap_err().to_string();
    assert!(error.contains("`root:***@beta`"), "{error}");
    let own = "qemu+libssh://root@beta:22/system?keyfile=/a%40b";
    assert_eq!(without_password(own), own);
    assert!(HostUri::parse("test:///tmp/hosts.xml", Origin::Request).is_err());
    assert!(HostUri::parse("test:///tmp/hosts.xml", Origin::Operator).is_ok());
}

#[test]
fn a_pattern_approves_hosts_and_nothing_else() {
    let approves = |pattern: &str, text: &str| {
        let uri = HostUri::parse(text, Origin::Operator).unwrap();
        Pattern::parse(pattern).unwrap().approves(&uri)
    };
    for (pattern, text, is) in [
        ("qemu+ssh://root@*.example.org/system", "qemu+ssh://root@a.example.org/system", true),
        ("qemu+ssh://root@*.example.org/system", "qemu+ssh://root@A.Example.Org/system", true),
        ("qemu+ssh://root@*.example.org/system", "qemu+ssh://a.example.org/system", false),
        ("qemu+ssh://root@*.example.org/system", "qemu+ssh://root@example.org/system", false),
        ("qemu+ssh://root@*.example.org/system", "qemu+ssh://root@a.b.example.org/system", false),
        ("qemu+ssh://root@*.example.org/system", "qemu+ssh://root@a.example.org.evil/system", false),
        ("qemu+ssh://root@*.example.org/system", "qemu+ssh://root@a.example.org:2222/system", false),
        ("qemu+ssh://root@*.example.org/system", "qemu+tcp://root@a.example.org/system", false),
        ("qemu+ssh://*/system", "qemu+ssh://beta/session", false),
        ("qemu+ssh://*/system", "qemu+ssh://[2001:db8::1]/system", true),
        ("qemu+ssh://*/system", "qemu+ssh://beta/system?mode=auto", false),
        ("qemu+ssh://*/system?mode=auto", "qemu+ssh://beta/system?mode=auto", true),
        ("qemu+tcp://192.0.2.*/system", "qemu+tcp://192.0.2.12/system", true),
        ("qemu+tcp://192.0.2.*/system", "qemu+tcp://192.0.2.evil/system", false),
        ("qemu+tcp://192.0.2.*/system", "qemu+tcp://192.0.2.256/system", false),
        ("qemu+ssh://node-*-lab/system", "qemu+ssh://node-12-lab/system", true),
        ("qemu+ssh://node-*-lab/system", "qemu+ssh://node-lab/system", false),
        ("qemu+ssh://a*b*b/system", "qemu+ssh://abb/system", true),
        ("qemu+ssh://a*b*b/system", "qemu+ssh://ab/system", false),
        ("qemu:///system", "qemu:///system", true),
        ("qemu:///system", "qemu+unix:///system", false),
    ] {
        assert_eq!(approves(pattern, text), is, "{pattern} and {text}");
    }
    for pattern in
        ["*", "qemu+*://beta/system", "qemu+ssh://*@beta/system", "qemu+ext://*/system", "qemu+ssh://beta/*"]
    {
        assert!(Pattern::parse(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn memory_goes_to_hosts_and_not_into_programs() {
    for text in [
        "tcp://192.0.2.12",
        "tcp://beta:49152",
        "tcp:beta:49152",
        "rdma://beta",
        "tcp://[2001:db8::1]:1",
        "tcp://beta/",
    ] {
        assert_eq!(check_migrate_uri(text, Origin::Request), Ok(()), "{text}");
    }
    for text in [
        "exec:cat",
        "tcp://beta\nx",
        "tcp://",
        "tcp://b eta",
        "TCP://beta",
        "fd:1",
        "tcp://u:p@beta",
        "tcp://beta?x=y",
        "beta",
        "tcp://beta\u{202e}",
        "unix:///run/x",
        "",
    ] {
        assert!(check_migrate_uri(text, Origin::Request).is_err(), "{text}");
    }
    assert_eq!(check_migrate_uri("unix:///run/x", Origin::Operator), Ok(()));
}
