//! What foreign clients need, installed once: programs by Debian's packages, the rest into `.cache/`.
//!
//! Every step has a stamp that holds the manifests it was made from; a changed manifest makes it again.

use crate::shell::{self, Done};
use std::fs;
use std::path::{Path, PathBuf};

/// (program, Debian's package of it)
const PROGRAMS: [(&str, &str); 12] = [
    ("kcat", "kafkacat"),
    ("python3", "python3"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("go", "golang-go"),
    ("javac", "default-jdk-headless"),
    ("mvn", "maven"),
    ("etcd", "etcd-server"),
    ("etcdctl", "etcd-client"),
    ("openssl", "openssl"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
];

/// Debian's ZooKeeper has no program on the path.
const ZOOKEEPER: (&str, &str) = ("/usr/share/java/zookeeper.jar", "zookeeper");

const JAVA_CLIENTS: [&str; 2] = ["4.3.1", "4.4.0"];

/// Everything the suites use. Quick when it is all there.
pub fn all() -> Done {
    programs(&PROGRAMS)?;
    zookeeper()?;
    python()?;
    kafkajs()?;
    go()?;
    java()
}

/// Kafka's broker and tools: what `compare` needs.
pub fn kafka() -> Done<PathBuf> {
    programs(&[("javac", "default-jdk-headless"), ("mvn", "maven")])?;
    console_tools()
}

/// Python with the clients of the tests, for `powercut`.
pub fn python_with_clients() -> Done<PathBuf> {
    programs(&[("python3", "python3")])?;
    python()?;
    Ok(shell::cache().join("python/bin/python"))
}

/// What a cluster of brokers needs on each store, its clients, and Kafka: for `cluster`.
pub fn cluster() -> Done {
    programs(&PROGRAMS)?;
    zookeeper()?;
    python()?;
    java()
}

/// The stores' servers, for the crates' own tests: what tells those where they are.
pub fn stores() -> Done<[(&'static str, PathBuf); 2]> {
    let wanted = ["etcd", "etcdctl", "openssl", "javac"];
    let programs_wanted: Vec<_> = PROGRAMS
        .into_iter()
        .filter(|(name, _)| wanted.contains(name))
        .collect();
    programs(&programs_wanted)?;
    zookeeper()?;
    Ok([
        (
            "RINGLOG_TEST_ETCD",
            shell::find("etcd").unwrap_or_else(|| "etcd".into()),
        ),
        ("RINGLOG_TEST_ZOOKEEPER", ZOOKEEPER.0.into()),
    ])
}

fn zookeeper() -> Done {
    if Path::new(ZOOKEEPER.0).exists() {
        return Ok(());
    }
    apt_install(&[ZOOKEEPER.1])
}

fn programs(wanted: &[(&str, &str)]) -> Done {
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|(name, _)| !shell::have(name))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    apt_install(&missing)
}

fn apt_install(packages: &[&str]) -> Done {
    let by_hand = format!("please install: {}", packages.join(" "));
    if !shell::have("apt-get") {
        return Err(format!("this is not a Debian system; {by_hand}"));
    }
    shell::step(&format!("apt-get install {}", packages.join(" ")));
    let apt = |arguments: &[&str]| {
        let mut command = if is_root() {
            shell::program("apt-get")
        } else {
            shell::program("sudo")
        };
        if !is_root() {
            command.args(["-n", "apt-get"]);
        }
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .arg("-qq")
            .args(arguments);
        shell::run(&mut command)
    };
    apt(&["update"])
        .and_then(|()| apt(&[&["install", "-y", "--no-install-recommends"], packages].concat()))
        .map_err(|why| format!("{why}; {by_hand}"))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
}

/// Runs `make` when the stamp of `name` differs from the manifests, or `product` is not there.
fn once(name: &str, manifests: &[PathBuf], product: &Path, make: impl FnOnce() -> Done) -> Done {
    let mut wanted = String::new();
    for manifest in manifests {
        wanted += &shell::read(manifest)?;
    }
    let stamp = shell::cache().join(format!("{name}.stamp"));
    if product.exists() && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    shell::step(&format!("installing {name} into .cache"));
    fs::create_dir_all(shell::cache()).map_err(|why| format!(".cache: {why}"))?;
    make()?;
    fs::write(&stamp, wanted).map_err(|why| format!("{}: {why}", stamp.display()))
}

fn clients() -> PathBuf {
    shell::root().join("tests/clients")
}

/// A virtual environment with confluent-kafka and aiokafka.
fn python() -> Done {
    let requirements = [
        clients().join("confluent/requirements.txt"),
        clients().join("aiokafka/requirements.txt"),
    ];
    let home = shell::cache().join("python");
    once("python", &requirements, &home.join("bin/python"), || {
        let venv = || shell::run(shell::program("python3").args(["-m", "venv"]).arg(&home));
        if venv().is_err() {
            apt_install(&["python3-venv"])?; // Debian keeps it apart from python3
            venv()?;
        }
        let mut pip = shell::program(home.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"]);
        for file in &requirements {
            pip.arg("-r").arg(file);
        }
        shell::run(&mut pip)
    })
}

fn kafkajs() -> Done {
    let manifest = clients().join("kafkajs/package.json");
    let home = shell::cache().join("kafkajs");
    once(
        "kafkajs",
        std::slice::from_ref(&manifest),
        &home.join("node_modules/kafkajs"),
        || {
            fs::create_dir_all(&home).map_err(|why| why.to_string())?;
            fs::copy(&manifest, home.join("package.json")).map_err(|why| why.to_string())?;
            let mut npm = shell::program("npm");
            npm.current_dir(&home).args([
                "install",
                "--no-package-lock",
                "--no-audit",
                "--no-fund",
                "--silent",
            ]);
            shell::run(&mut npm)
        },
    )
}

/// The Go programs are built on every run: go's own cache knows what is fresh.
fn go() -> Done {
    let home = shell::cache().join("go");
    fs::create_dir_all(&home).map_err(|why| format!("{}: {why}", home.display()))?;
    let mut build = shell::program("go");
    build
        .current_dir(clients().join("go"))
        .args(["build", "-o"])
        .arg(&home)
        .args(["./franz-go", "./sarama", "./administration"]);
    shell::run(&mut build).map_err(|why| format!("{why} (tests/clients/go/go.mod says which Go is needed)"))
}

fn java() -> Done {
    let home = shell::cache().join("java");
    let pom = clients().join("java/pom.xml");
    for version in JAVA_CLIENTS {
        let folder = home.join(format!("clients-{version}"));
        once(
            &format!("java-clients-{version}"),
            std::slice::from_ref(&pom),
            &folder.join(format!("kafka-clients-{version}.jar")),
            || copy_dependencies(&pom, &folder, &[&format!("-Dkafka.version={version}")]),
        )?;
    }
    console_tools()?;
    let mut sources: Vec<PathBuf> = vec![shell::root().join("tests/cluster/Load.java")];
    let programs = fs::read_dir(clients().join("java/src"))
        .map_err(|why| why.to_string())?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "java"));
    sources.extend(programs);
    sources.sort();
    let classes = home.join("classes");
    once("java-classes", &sources, &classes.join("Program.class"), || {
        let mut javac = shell::program("javac");
        javac.args(["-Xlint:all", "-Werror", "-d"]).arg(&classes);
        javac.arg("-cp").arg(home.join("clients-4.4.0/*")).args(&sources);
        shell::run(&mut javac)
    })
}

fn console_tools() -> Done<PathBuf> {
    let pom = clients().join("java/tools/pom.xml");
    let folder = shell::cache().join("java/tools-4.3.1");
    once(
        "java-tools",
        std::slice::from_ref(&pom),
        &folder.join("kafka_2.13-4.3.1.jar"),
        || copy_dependencies(&pom, &folder, &[]),
    )?;
    Ok(folder)
}

fn copy_dependencies(pom: &Path, folder: &Path, more: &[&str]) -> Done {
    let mut mvn = shell::program("mvn");
    mvn.args(["-q", "-B", "-f"])
        .arg(pom)
        .args(more)
        .arg("dependency:copy-dependencies");
    mvn.arg(format!("-DoutputDirectory={}", folder.display()));
    shell::run(&mut mvn)
}
