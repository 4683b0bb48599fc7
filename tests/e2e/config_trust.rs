//! Whose configuration is believed: one that others can change is refused, and one whose secrets others can read.

use std::process::{Command, Output};

use crate::daemon::{program, write_config, Daemon};
use crate::net::Net;
use crate::peer;
use crate::tests;

tests!(a_file_of_others_is_refused, secrets_that_others_read_are_refused);

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// `l2tpd -n`, where there is no user l2tpd.
fn check(net: &Net, file: &std::path::Path) -> Output {
    net.try_exec(&net.b, &[program(), "-n", "-c", file.to_str().expect("path")])
}

/// What a file is refused for, the mode and owner that it has, and the command that is given for it.
fn refused(net: &Net, file: &std::path::Path, why: &str) -> String {
    let output = check(net, file);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let front = format!("Can't open config file\n  {}: {why}: ", file.display());
    said.strip_prefix(&front).unwrap_or_else(|| panic!("`{front}` in\n{said}")).trim_end().to_owned()
}

/// Does what the error said.
fn mend(command: &str) {
    let done = Command::new("sh").args(["-c", command]).status().expect("a shell");
    assert!(done.success(), "{command}");
}

fn mode(file: &std::path::Path, bits: u32) {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(bits);
    std::fs::set_permissions(file, permissions).expect("mode");
}

/// M-006. A file names commands that are run as root: others may neither write it nor replace it. By `-n`, at the start
/// and at a reload; the command that the error names mends it.
fn a_file_of_others_is_refused() {
    let net = Net::new();
    let config = peer::config("  role passive\n", peer::SESSION);
    let inner = net.dir.join("in ner");
    std::fs::create_dir(&inner).expect("directory");
    // Beside it nobody else may make links: the kernel itself would not follow those of others (protected_symlinks).
    let links = net.dir.join("links");
    std::fs::create_dir(&links).expect("directory");
    let (file, link) = (inner.join("l2tpd.conf"), links.join("link.conf"));
    write_config(&file, &config);
    std::os::unix::fs::symlink(&file, &link).expect("link");
    let passes = |file: &std::path::Path| {
        let output = check(&net, file);
        assert_eq!((output.status.code(), text(&output).as_str()), (Some(0), ""));
    };
    passes(&link);
    mode(&file, 0o664);
    mend(&refused(&net, &file, "others may write it (mode 0664)"));
    passes(&file);
    std::os::unix::fs::chown(&file, Some(65534), None).expect("chown");
    mend(&refused(&net, &file, "it belongs to user 65534"));
    passes(&file);
    mode(&inner, 0o777);
    mend(&refused(&net, &link, &format!("others may write the directory {} (mode 0777)", inner.display())));
    passes(&link);
    std::os::unix::fs::lchown(&link, Some(65534), None).expect("chown");
    mend(&refused(&net, &link, &format!("the link {} belongs to user 65534", link.display())));
    passes(&link);

    // A daemon does not start with such a file, and one that runs does not take it over.
    let mut daemon = Daemon::start(&net, &net.a, &config);
    daemon.expect("debug l2tpd start");
    mode(&daemon.config, 0o642);
    let output = daemon.ctl(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("others may write it (mode 0642): chmod go-w "), "{}", text(&output));
    daemon.expect("error Can't open config file");
    daemon.expect("error   *.conf: others may write it (mode 0642): chmod go-w *.conf");
    daemon.expect("warn   the configuration in force is not changed");
    daemon.stop();
    let started = Command::new("ip")
        .args(["netns", "exec", &net.a, program(), "-d", "-p", "none", "-s", "none", "-c"])
        .arg(&daemon.config)
        .output()
        .expect("the program runs");
    assert_eq!(started.status.code(), Some(1), "{}", text(&started));
    assert!(text(&started).contains("l2tpd initialization failed"), "{}", text(&started));
}

/// M-006. Passwords and cookies are for root and for the group of `user`, and a reload by that user works.
fn secrets_that_others_read_are_refused() {
    let net = Net::new();
    let file = net.dir.join("secret.conf");
    let manual = "  session l0\n    manual 1 2\n    remote-cookie 01234567\n";
    let static_tunnel = format!("tunnel t\n  remote-address 192.0.2.2\n{manual}");
    for config in [
        peer::config("  password abc\n", ""),
        peer::config("  password-old abc\n  password b\n", ""),
        static_tunnel,
    ] {
        write_config(&file, &config);
        mode(&file, 0o604);
        mend(&refused(&net, &file, "it holds secrets, and everybody may read it (mode 0604)"));
        std::os::unix::fs::chown(&file, None, Some(1)).expect("chown");
        mode(&file, 0o640);
        mend(&refused(&net, &file, "it holds secrets, and group 1 may read it (mode 0640)"));
        assert_eq!(check_file(&net, &file), "");
    }
    let config = format!("user nobody\n{}", peer::config("  password abc\n  role passive\n", peer::SESSION));
    write_config(&file, &config);
    mode(&file, 0o640);
    std::os::unix::fs::chown(&file, None, Some(1)).expect("chown");
    mend(&refused(&net, &file, "it holds secrets, and group 1 may read it (mode 0640)"));
    assert_eq!(check_file(&net, &file), "", "now it is of the user's group");
    let mut daemon = Daemon::start(&net, &net.b, &config);
    daemon.expect("debug l2tpd start");
    // Reading again is what the user's group needs it for.
    std::os::unix::fs::chown(&daemon.config, None, Some(65534)).expect("chown");
    mode(&daemon.config, 0o640);
    assert_eq!(daemon.ctl_ok(&["reload"]), "nothing changed\n");
    mode(&daemon.config, 0o644);
    let output = daemon.ctl(&["reload"]);
    assert!(text(&output).contains("everybody may read it (mode 0644): chmod o-rwx "), "{}", text(&output));
    daemon.stop();
}

/// What `-n` says of a file that it accepts.
fn check_file(net: &Net, file: &std::path::Path) -> String {
    let output = check(net, file);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    text(&output)
}
