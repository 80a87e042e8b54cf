//! Every snippet that is printed is run through the product's own checker, where that is installed.

#[path = "../../../tests/scene/skip.rs"]
mod skip;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use self::skip::skip;
use super::explain::page;
use crate::engine::alert::RuleId;

/// The snippets of `observer explain` for one product: all that there are.
fn all(language: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rule in RuleId::ALL {
        let mut block: Option<String> = None;
        for line in page(rule).lines() {
            match &mut block {
                None if line == format!("```{language}") => block = Some(String::new()),
                Some(text) if line == "```" => {
                    found.push(std::mem::take(text));
                    block = None;
                }
                Some(text) => {
                    text.push_str(line);
                    text.push('\n');
                }
                None => {}
            }
        }
    }
    found
}

/// Splits a snippet by its `# in ...` comments.
fn parts(snippet: &str) -> Vec<(&str, String)> {
    let mut parts: Vec<(&str, String)> = vec![("", String::new())];
    for line in snippet.lines() {
        if line.starts_with("# in ") || line.starts_with("# at ") {
            parts.push((line, String::new()));
        }
        let last = parts.last_mut().unwrap();
        last.1.push_str(line);
        last.1.push('\n');
    }
    parts
}

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("observer-advice-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// Runs a checker over a configuration.
fn check(program: &str, arguments: &[&str], file: &str, config: &str) {
    let dir = scratch(&format!("{program}-{}", fnv(config)));
    let path = dir.join(file);
    fs::write(&path, config).unwrap();
    let path = path.to_str().unwrap();
    let arguments = arguments.iter().map(|argument| if *argument == "{}" { path } else { argument });
    let output = Command::new(program).args(arguments).env("HOME", &dir).stdin(Stdio::null()).output();
    let _ = fs::remove_dir_all(&dir);
    let output = match output {
        Ok(output) => output,
        Err(error) => return skip(&format!("{program} cannot be run ({error})")),
    };
    assert!(output.status.success(), "{config}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[test]
fn nginx_takes_its_snippets() {
    for snippet in all("nginx") {
        let (mut top, mut http, mut server, mut location, mut upstream) =
            (String::new(), String::new(), String::new(), String::new(), String::new());
        for (place, text) in parts(&snippet) {
            let part = match place {
                "# in http" => &mut http,
                "# in the server" => &mut server,
                "# in the upstream block" => &mut upstream,
                "# at the top level" | "" => &mut top,
                _ => &mut location,
            };
            part.push_str(&text);
        }
        if location.contains("limit_req ") {
            http.push_str("limit_req_zone $binary_remote_addr zone=one:1m rate=1r/s;");
        }
        if !http.contains("map ") {
            http.push_str("map $http_upgrade $connection_upgrade { default upgrade; '' ''; }");
        }
        if !location.contains("proxy_pass ") {
            location.push_str("\nproxy_pass http://127.0.0.1:3000;");
        }
        let config = format!(
            "pid /dev/null; error_log stderr; {top} events {{}}\nhttp {{ access_log off;\n{http}\nupstream app {{\n{upstream}\n\
             server 127.0.0.1:3001;\n}}\nserver {{ listen 127.0.0.1:18999;\n{server}\nlocation /other {{\n{location}\n}} }} }}"
        );
        check("nginx", &["-q", "-t", "-c", "{}"], "nginx.conf", &config);
    }
}

#[test]
fn haproxy_takes_its_snippets() {
    for snippet in all("HAProxy") {
        let (mut global, mut defaults, mut front, mut back, mut top) =
            (String::new(), String::new(), String::new(), String::new(), String::new());
        for (place, text) in parts(&snippet) {
            let part = match place {
                "# in global" => &mut global,
                "# in defaults" => &mut defaults,
                "# in the backend" => &mut back,
                place if place.starts_with("# in the frontend") => &mut front,
                _ => &mut top,
            };
            part.push_str(&text);
        }
        if !top.contains("backend ws") {
            top.push_str("\nbackend ws\n server origin 127.0.0.1:3000\n");
        }
        let config = format!(
            "global\n{global}\ndefaults\n mode http\n timeout connect 5s\n timeout client 9s\n timeout server 9s\n{defaults}\n\
             {top}\nbackend other\n{back}\n server s 127.0.0.1:3000\nfrontend f\n bind 127.0.0.1:18998\n{front}\n \
             default_backend other\n"
        );
        check("haproxy", &["-q", "-c", "-f", "{}"], "haproxy.cfg", &config);
    }
}

#[test]
fn apache_takes_its_snippets() {
    let modules = "/usr/lib/apache2/modules";
    let load = |name: &str| format!("LoadModule {name}_module {modules}/mod_{name}.so\n");
    let loaded: String =
        ["mpm_event", "proxy", "proxy_http", "env", "authz_core", "rewrite", "headers", "ssl"].map(load).concat();
    for snippet in all("Apache") {
        let config = format!(
            "ServerRoot /tmp\nServerName a.test\nPidFile /dev/null\nErrorLog /dev/null\nListen 127.0.0.1:18997\n{loaded}\
             <VirtualHost 127.0.0.1:18997>\n{snippet}\n</VirtualHost>\n"
        );
        check("apache2", &["-t", "-f", "{}"], "apache2.conf", &config);
    }
}

#[test]
fn caddy_takes_its_snippets() {
    // stream_close_delay is newer than what distributions have.
    let old = Command::new("caddy").arg("version").output().is_ok_and(|output| {
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        ["2.4.", "2.5.", "2.6."].iter().any(|old| version.trim_start_matches('v').starts_with(old))
    });
    for snippet in all("Caddy") {
        if old && snippet.contains("stream_close_delay") {
            skip("this Caddy is too old for stream_close_delay");
            continue;
        }
        check("caddy", &["adapt", "--adapter", "caddyfile", "--config", "{}"], "Caddyfile", &(snippet + "\n"));
    }
}
