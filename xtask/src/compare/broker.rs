//! A broker on core 0, in a home of its own.

use super::kafka;
use super::place::Folder;
use super::process::free_port;
use super::session::Session;
use crate::shell::{self, Done};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// The longest a broker may take to serve, or to stop.
const PATIENCE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(20);
/// Where the broker runs, and where the load.
pub const BROKER_CORE: &str = "0";
pub const LOAD_CORE: &str = "1";

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    Ringlog,
    Kafka,
    /// Receives, checks nothing and answers: what no broker on this machine can pass.
    Ceiling,
}

impl Contender {
    pub const ALL: [Contender; 3] = [Contender::Ringlog, Contender::Kafka, Contender::Ceiling];

    pub fn name(self) -> &'static str {
        match self {
            Contender::Ringlog => "ringlog",
            Contender::Kafka => "Kafka",
            Contender::Ceiling => "ceiling",
        }
    }
}

/// The data, the ports and the settings of a broker: what outlives its processes.
pub struct Home {
    pub contender: Contender,
    pub port: u16,
    second_port: u16,
    folder: Folder,
    jars: Option<PathBuf>,
    binary: PathBuf,
}

impl Home {
    /// An empty one, below `place`.
    pub fn make(session: &Session, contender: Contender, place: &Path) -> Done<Home> {
        let home = Home {
            contender,
            port: free_port()?,
            second_port: free_port()?,
            folder: Folder::make(place, contender.name())?,
            jars: session.jars.clone(),
            binary: session.binary.clone(),
        };
        if contender == Contender::Kafka {
            kafka::prepare(home.jars()?, home.path(), home.port, home.second_port)?;
        }
        Ok(home)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn jars(&self) -> Done<&Path> {
        self.jars
            .as_deref()
            .ok_or_else(|| "Kafka's jars are not installed".into())
    }

    /// A broker that serves.
    pub fn start(&self) -> Done<Broker<'_>> {
        let broker = self.spawn()?;
        broker.wait_until_ready()
    }

    /// A broker that begins to.
    pub fn spawn(&self) -> Done<Broker<'_>> {
        let mut command = pinned(BROKER_CORE);
        let address = format!("127.0.0.1:{}", self.port);
        match self.contender {
            Contender::Ringlog => {
                command.arg(&self.binary);
                command.args([
                    "serve",
                    "--cores",
                    BROKER_CORE,
                    "--listen",
                    &address,
                    "--data-dir",
                ]);
                command.arg(self.path().join("data"));
                command.args(["--admin", &format!("127.0.0.1:{}", self.second_port)]);
            }
            Contender::Kafka => kafka::serve(&mut command, self.jars()?, self.path()),
            Contender::Ceiling => {
                command.arg(&self.binary);
                command.args(["bench", "ceiling", "--listen", &address]);
            }
        }
        let said = self.said();
        let out = fs::File::create(&said).map_err(|why| format!("{}: {why}", said.display()))?;
        let err = out.try_clone().map_err(|why| why.to_string())?;
        let spawned_at = SystemTime::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|why| format!("{}: {why}", shell::line(&command)))?;
        Ok(Broker {
            home: self,
            child,
            spawned_at,
        })
    }

    fn said(&self) -> PathBuf {
        self.path().join("output.txt")
    }
}

/// A running broker; killed when dropped.
pub struct Broker<'home> {
    home: &'home Home,
    child: Child,
    pub spawned_at: SystemTime,
}

impl Broker<'_> {
    pub fn pid(&self) -> u32 {
        self.child.id() // taskset and setpriv become what they start
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.home.port)
    }

    fn wait_until_ready(mut self) -> Done<Self> {
        let marker = match self.home.contender {
            Contender::Ringlog | Contender::Ceiling => "ready",
            Contender::Kafka => kafka::READY,
        };
        let began = Instant::now();
        while !fs::read_to_string(self.home.said()).is_ok_and(|text| text.contains(marker)) {
            let ended = self.child.try_wait().map_err(|why| why.to_string())?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                return Err(format!(
                    "{} did not become ready:\n{}",
                    self.home.contender.name(),
                    self.said()
                ));
            }
            std::thread::sleep(POLL);
        }
        let port = self.home.port;
        TcpStream::connect(("127.0.0.1", port)).map_err(|why| format!("port {port}: {why}"))?;
        Ok(self)
    }

    /// The end of what it printed.
    pub fn said(&self) -> String {
        let text = fs::read_to_string(self.home.said()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(30);
        lines.get(from..).unwrap_or_default().join("\n")
    }

    /// SIGTERM, and waits.
    pub fn stop(mut self) -> Done {
        shell::output(shell::program("kill").arg(self.pid().to_string()))?;
        let began = Instant::now();
        while self.child.try_wait().map_err(|why| why.to_string())?.is_none() {
            if began.elapsed() > PATIENCE {
                return Err(format!("{} does not stop", self.home.contender.name()));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Broker<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The beginning of a command whose program runs on that core only, and ends with us.
pub fn pinned(core: &str) -> Command {
    let mut command = if shell::have("setpriv") {
        let mut command = shell::program("setpriv");
        command.args(["--pdeathsig", "KILL", "taskset"]);
        command
    } else {
        shell::program("taskset")
    };
    command.args(["-c", core]);
    command
}
