//! Filters of `clsact` and whose they are: observers in PID namespaces of their own, on the same interface.
#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]
#![allow(clippy::disallowed_methods, reason = "a test of real programs waits in real time")]

mod scene;

use std::{
    collections::BTreeSet,
    process::{Child, Command, Stdio},
};

use scene::{Scene, end, possible, run, wait_for};

const CLSACT: [&str; 8] = ["--tap", "ebpf", "--hook", "clsact", "-i", "lo", "--format", "json"];

/// Starts an observer as the first process of a PID namespace, as in a container.
fn contained(scene: &Scene, name: &str) -> Child {
    let unshare = ["--pid", "--fork", "--mount-proc", env!("CARGO_BIN_EXE_observer"), "live"];
    scene.start(name, "unshare", &[&unshare[..], &CLSACT].concat())
}

/// Kills it. What waits for it ends by itself.
fn stop(unshare: Child) {
    let first = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", unshare.id())).unwrap();
    run(Command::new("kill").args(["-KILL", first.trim()]));
    end(unshare, "-0");
}

fn told(scene: &Scene, program: &str, arguments: &[&str]) -> String {
    let output = scene.command(program).args(arguments).stdout(Stdio::piped()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The handles of the filters on loopback.
fn handles(scene: &Scene) -> BTreeSet<String> {
    let filters = told(scene, "tc", &["filter", "show", "dev", "lo", "egress"]);
    let handle = |line: &str| Some(line.split(" handle 0x").nth(1)?.split(' ').next()?.to_owned());
    filters.lines().filter_map(handle).collect()
}

fn has(scene: &Scene, expected: &[&str]) -> bool {
    handles(scene).iter().eq(BTreeSet::from_iter(expected))
}

#[test]
fn an_observer_of_another_pid_namespace_is_alive() {
    if !possible() {
        return;
    }
    let scene = Scene::new();
    // Each is process 1 where it is.
    let first = contained(&scene, "first");
    wait_for("the first filter", || has(&scene, &["1"]));
    let second = contained(&scene, "second");
    wait_for("the second filter", || has(&scene, &["1", "400001"]));
    let outer = scene.observer("outer", &CLSACT);
    let own = format!("{:x}", outer.id());
    assert!(has(&scene, &["1", "400001", &own]), "somebody's filter was removed");
    let output = scene.client(&["upgrade:/bare", "response", "fin"]);
    assert!(output.status.success(), "{output:?}");
    for name in ["first.out", "second.out", "outer.out"] {
        wait_for("an alert", || scene.told(name).contains("upgrade-headers-dropped"));
    }
    // Its remover dies with it, as do all processes of the namespace.
    stop(first);
    wait_for("the end of the first", || !told(&scene, "cat", &["/proc/net/unix"]).contains("observer-clsact-00000001"));
    end(outer, "-TERM");
    wait_for("the outer filter to go", || !handles(&scene).contains(&own));
    let next = scene.observer("next", &CLSACT);
    let own = format!("{:x}", next.id());
    assert!(has(&scene, &["400001", &own]), "what nobody holds goes, what somebody holds stays");
    end(next, "-TERM");
    stop(second);
}
