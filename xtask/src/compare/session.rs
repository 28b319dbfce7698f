//! One run of `compare`: its options, the programs it uses, what it found.

use super::broker::{Broker, Contender, Home};
use super::figures::{Figures, Goal};
use super::load::{Length, Load, Report, warm_up};
use super::options::{Options, Targets};
use super::place::{LoopImage, remove_leftovers};
use super::row::Row;
use super::{idle, latency, partitions, produce, profile, reading, report, restart};
use crate::install;
use crate::shell::{self, Done};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// After the warm-up, in the topic that is measured: its first files and connections.
const SHORT_WARM_UP: Duration = Duration::from_secs(2);
/// Of what is deleted after the warm-up, as fast as possible.
const DELETE_AT_ONCE: &str = "file.delete.delay.ms=100";

pub struct Session {
    pub options: Options,
    pub binary: PathBuf,
    pub jars: Option<PathBuf>,
    pub figures: Figures,
    pub notes: Vec<String>,
    /// Where data lies, with what is added to the names of the lines.
    places: Vec<(PathBuf, &'static str)>,
    image: Option<LoopImage>,
    round: usize,
}

impl Session {
    pub fn open(options: Options) -> Done<Session> {
        let jars = match options.targets {
            Targets::Ringlog => None,
            Targets::Kafka | Targets::Both => Some(install::kafka()?),
        };
        let binary = match &options.binary {
            Some(binary) => binary
                .canonicalize()
                .map_err(|why| format!("{}: {why}", binary.display()))?,
            None => release_broker()?,
        };
        remove_leftovers(&options.data_dir);
        let mut places = vec![(options.data_dir.clone(), "")];
        let image = match &options.loop_image {
            None => None,
            Some(size) => {
                let image = LoopImage::make(&options.data_dir, size)?;
                places.push((image.mount_point(), ", ext4 image"));
                Some(image)
            }
        };
        Ok(Session {
            options,
            binary,
            jars,
            figures: Figures::default(),
            notes: Vec::new(),
            places,
            image,
            round: 0,
        })
    }

    pub fn run(mut self) -> Done {
        for round in 0..self.options.rounds {
            self.round = round;
            for row in self.options.rows.clone() {
                for (place, suffix) in self.places.clone() {
                    for contender in self.contenders(row) {
                        shell::step(&format!(
                            "round {} of {}: {}{suffix}, {}",
                            round + 1,
                            self.options.rounds,
                            row.name(),
                            contender.name()
                        ));
                        let run = Run {
                            row,
                            contender,
                            place: &place,
                            suffix,
                        };
                        // an hour of figures is not lost for one row that cannot be measured
                        if let Err(why) = run.measure(&mut self) {
                            let why = format!("{}{suffix}, {}: {why}", row.name(), contender.name());
                            eprintln!("   failed: {why}");
                            self.notes.push(why);
                        }
                    }
                }
            }
            self.print()?;
        }
        drop(self.image.take());
        if self.options.write {
            report::write(&self)?;
        }
        match self.notes.is_empty() {
            true => Ok(()),
            false => Err(format!("{} measurements failed, see above", self.notes.len())),
        }
    }

    /// Prints after every round, and keeps it: an interrupted run has something to show.
    fn print(&self) -> Done {
        let text = format!(
            "{}\n{}\n{}",
            report::head(self),
            report::table(self, |_| true),
            report::notes(self)
        );
        println!("\n{text}");
        let folder = profile::folder()?;
        report::save(&folder.join("compare.md"), &text)
    }

    fn contenders(&self, row: Row) -> Vec<Contender> {
        if row == Row::Ceiling {
            return vec![Contender::Ceiling];
        }
        match (row, self.options.targets) {
            (Row::Journal, Targets::Kafka) => vec![],
            (Row::Journal, _) | (_, Targets::Ringlog) => vec![Contender::Ringlog],
            (_, Targets::Kafka) => vec![Contender::Kafka],
            (_, Targets::Both) => vec![Contender::Ringlog, Contender::Kafka],
        }
    }
}

/// One row of one contender at one place in one round.
pub struct Run<'a> {
    pub row: Row,
    pub contender: Contender,
    pub place: &'a Path,
    pub suffix: &'static str,
}

impl Run<'_> {
    fn measure(&self, session: &mut Session) -> Done {
        match self.row {
            Row::Produce => produce::large(self, session),
            Row::Batches => produce::batches(self, session),
            Row::Journal => produce::journal(self, session),
            Row::Small => produce::small(self, session),
            Row::Ceiling => produce::ceiling(self, session),
            Row::Latency => latency::measure(self, session),
            Row::Consume => reading::hot(self, session),
            Row::Cold => reading::cold(self, session),
            Row::Neighbour => reading::neighbour(self, session),
            Row::Partitions => partitions::measure(self, session),
            Row::Restart => restart::measure(self, session),
            Row::Idle => idle::partitions(self, session),
            Row::Start => idle::start(self, session),
        }
    }

    /// An empty home of this contender.
    pub fn home(&self, session: &Session) -> Done<Home> {
        Home::make(session, self.contender, self.place)
    }

    /// Adds a value to its line.
    pub fn add(&self, session: &mut Session, what: &str, unit: &'static str, goal: Goal, value: f64) {
        self.add_to(self.row, session, what, unit, goal, value);
    }

    /// Adds a value to a line of another row.
    pub fn add_to(
        &self,
        row: Row,
        session: &mut Session,
        what: &str,
        unit: &'static str,
        goal: Goal,
        value: f64,
    ) {
        let what = format!("{what}{}", self.suffix);
        eprintln!("   {what}: {} {unit}", super::figures::number(value));
        session.figures.add(row, &what, unit, goal, self.contender, value);
    }

    /// Marks a line as limited by the load.
    pub fn mark(&self, row: Row, session: &mut Session, what: &str, unit: &'static str, report: &Report) {
        if report.is_load_saturated() {
            let what = format!("{what}{}", self.suffix);
            session.figures.add_saturated(row, &what, unit, self.contender);
        }
    }

    /// The same load on a topic that is deleted afterwards.
    pub fn warm(&self, session: &Session, broker: &Broker<'_>, load: &Load) -> Done {
        let topic = "warm-up";
        let length = Length::Seconds(Duration::ZERO, warm_up(session, self.contender));
        load.clone()
            .topic_config(DELETE_AT_ONCE)
            .run(session, broker, topic, length)?;
        if self.contender != Contender::Ceiling {
            let mut delete = shell::program(&session.binary);
            delete.args(["topic", "delete", topic, "--bootstrap", &broker.bootstrap()]);
            shell::output(&mut delete)?;
            std::thread::sleep(session.options.scale.settle);
        }
        Ok(())
    }

    /// Measures a load for the usual time, looking into the broker if that is asked for.
    pub fn timed(
        &self,
        session: &mut Session,
        broker: &Broker<'_>,
        load: &Load,
        topic: &str,
    ) -> Done<Report> {
        let warmup = SHORT_WARM_UP.min(session.options.scale.measured);
        let measured = session.options.scale.measured;
        let length = Length::Seconds(warmup, measured);
        if !session.options.perf || session.round > 0 {
            return load.run(session, broker, topic, length);
        }
        let name = format!("{}-{}-{topic}", self.row.name(), self.contender.name());
        let running = load.begin(session, broker, topic, length)?;
        let recorded = profile::record(broker, &name, warmup, measured);
        let report = running.finish()?;
        eprintln!("{}", recorded?);
        let running = load.begin(
            session,
            broker,
            topic,
            Length::Seconds(Duration::ZERO, Duration::from_secs(4)),
        )?;
        let counted = profile::count_syscalls(broker);
        running.finish()?;
        eprintln!("{}", counted?);
        Ok(report)
    }
}

/// Builds the release broker and says where it is.
pub fn release_broker() -> Done<PathBuf> {
    shell::step("building the release broker");
    shell::run(shell::cargo().args(["build", "--release", "--quiet", "--bin", "ringlog"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(shell::root().join(target).join("release/ringlog"))
}
