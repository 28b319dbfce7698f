//! Who is alive: what the controller knows of the brokers beyond the metadata log.
//!
//! Pure: the caller says what time it is and what it heard. Nothing in here is written anywhere; a new controller begins with full
//! sessions for all that the image says are unfenced, so that a change of controller never costs a broker its partitions.
//!
//! The clock is the controller's own. A session runs from when a heartbeat *arrived*, while the broker counts from when it was
//! *sent*: so the broker stops serving before the controller gives its partitions to others.
//!
//! | what is seen | what it means | when the broker is fenced |
//! |---|---|---|
//! | no heartbeat | it hangs, or is cut off | after `broker.session.timeout.ms` |
//! | its process is gone | it crashed | at once |
//! | many brokers silent at the same time | the network or the store is at fault | one session later than each alone |
//! | nothing at all happened for half a session | we slept, and the heartbeats are waiting to be read | half a session after we woke |
//! | a third fence within a minute | it flaps | it stays fenced for 1 s, then 2, 4 .. 60 s |

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use engine::types::Offset;
use reactor::Instant;

use crate::config::ClusterTiming;
use crate::image::ClusterImage;
use crate::record::BrokerId;

/// Fences within [`FLAP_WINDOW`] that make a broker one that flaps.
const FLAP_COUNT: usize = 3;
const FLAP_WINDOW: Duration = Duration::from_secs(60);
const HOLD_MIN: Duration = Duration::from_secs(1);
const HOLD_MAX: Duration = Duration::from_secs(60);
/// Between two goes of work that did not fit one: elections are bounded by count and go on soon.
const CONTINUE_AFTER: Duration = Duration::from_millis(50);

/// What the controller remembers of one broker.
#[derive(Clone, Debug)]
struct Broker {
    /// `None`: fenced, as far as we decided.
    session: Option<Session>,
    /// The last offset of the metadata log it said it works with.
    metadata_offset: Offset,
    /// Offset at which the log says that it shuts down.
    shutdown_offset: Option<Offset>,
    flaps: Flaps,
}

impl Default for Broker {
    fn default() -> Self {
        Broker {
            session: None,
            metadata_offset: Offset(-1),
            shutdown_offset: None,
            flaps: Flaps::default(),
        }
    }
}

#[derive(Copy, Clone, Debug)]
struct Session {
    last_heartbeat: Instant,
    /// Its process was found dead after the last heartbeat.
    is_gone: bool,
    /// Silent together with many others: it has one more session.
    has_reprieve: bool,
    /// Its time was lengthened because we slept; once a heartbeat.
    has_grace: bool,
}

impl Session {
    fn begin(now: Instant) -> Self {
        Session {
            last_heartbeat: now,
            is_gone: false,
            has_reprieve: false,
            has_grace: false,
        }
    }
}

/// How often a broker was fenced lately. Time in which it is held down does not count as passed.
#[derive(Clone, Debug, Default)]
struct Flaps {
    /// The last fences, at most [`FLAP_COUNT`].
    fences: VecDeque<Instant>,
    hold: Duration,
    held_until: Option<Instant>,
}

impl Flaps {
    fn fenced(&mut self, now: Instant) {
        self.fences
            .retain(|fence| now.saturating_since(*fence) < FLAP_WINDOW);
        self.fences.push_back(now);
        if self.fences.len() < FLAP_COUNT {
            self.hold = Duration::ZERO;
            return;
        }
        self.hold = (self.hold * 2).clamp(HOLD_MIN, HOLD_MAX);
        self.held_until = Some(now + self.hold);
        while self.fences.len() >= FLAP_COUNT {
            self.fences.pop_front();
        }
        for fence in &mut self.fences {
            *fence += self.hold;
        }
    }

    fn is_held(&self, now: Instant) -> bool {
        self.held_until.is_some_and(|until| now < until)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Liveness {
    session_timeout: Duration,
    unclean_elections: Timer,
    leader_balance: Timer,
    brokers: BTreeMap<BrokerId, Broker>,
    /// When something was last heard or asked of us: the gap before the next event is how long we slept.
    last_event: Option<Instant>,
}

impl Liveness {
    pub fn new(timing: &ClusterTiming) -> Self {
        Liveness {
            session_timeout: Duration::from_millis(timing.session_timeout_ms),
            unclean_elections: Timer::every(Some(timing.unclean_election_interval_ms)),
            leader_balance: Timer::every(timing.leader_balance_interval_ms),
            brokers: BTreeMap::new(),
            last_event: None,
        }
    }

    /// This process is the controller from now on. `predecessor`: the broker whose controller it takes over from, and when that was
    /// heard of last; its session does not begin anew.
    pub fn took_over(
        &mut self,
        now: Instant,
        image: &ClusterImage,
        predecessor: Option<(BrokerId, Instant)>,
    ) {
        self.brokers.clear();
        self.last_event = Some(now);
        self.unclean_elections.restart(now);
        self.leader_balance.restart(now);
        for broker in image.brokers().values().filter(|broker| !broker.fenced) {
            self.unfenced(now, broker.id);
        }
        if let Some((id, heard)) = predecessor
            && let Some(session) = self.brokers.get_mut(&id).and_then(|state| state.session.as_mut())
        {
            session.last_heartbeat = heard.min(now);
        }
    }

    /// A heartbeat of the broker's present registration has arrived.
    pub fn heartbeat(&mut self, now: Instant, broker: BrokerId, metadata_offset: Offset) {
        self.woke(now);
        let state = self.brokers.entry(broker).or_default();
        state.metadata_offset = metadata_offset;
        if let Some(session) = &mut state.session {
            *session = Session::begin(now);
        }
    }

    /// The broker's process is dead: nobody listens where it did. Undone by a heartbeat that arrives after all.
    pub fn gone(&mut self, now: Instant, broker: BrokerId) {
        self.woke(now);
        let state = self.brokers.get_mut(&broker);
        if let Some(session) = state.and_then(|state| state.session.as_mut()) {
            session.is_gone = true;
        }
    }

    /// When [`super::Controller::tick`] has something to do, unless something happens before. `None`: never by itself.
    pub fn next_deadline(&self) -> Option<Instant> {
        let sessions = self.brokers.values().filter_map(|state| state.session);
        let ends = sessions.map(|session| self.end(&session));
        // Asked now and then even when all is well, a late question shows that we slept.
        let has_sessions = self.brokers.values().any(|state| state.session.is_some());
        let pulse = self
            .last_event
            .filter(|_| has_sessions)
            .map(|last| last + self.session_timeout / 4);
        let timers = [self.unclean_elections.due, self.leader_balance.due];
        ends.chain(pulse).chain(timers.into_iter().flatten()).min()
    }

    /// Whether the broker has a session that has not ended.
    pub fn is_live(&self, now: Instant, broker: BrokerId) -> bool {
        let session = self.brokers.get(&broker).and_then(|state| state.session);
        session.is_some_and(|session| now < self.end(&session))
    }

    /// Whether the broker was fenced so often that it has to wait.
    pub fn is_held_down(&self, now: Instant, broker: BrokerId) -> bool {
        self.brokers
            .get(&broker)
            .is_some_and(|state| state.flaps.is_held(now))
    }

    fn end(&self, session: &Session) -> Instant {
        match session {
            Session { is_gone: true, .. } => session.last_heartbeat,
            Session {
                has_reprieve: true, ..
            } => session.last_heartbeat + self.session_timeout * 2,
            _ => session.last_heartbeat + self.session_timeout,
        }
    }

    /// The unfenced brokers whose time is up.
    pub(super) fn silent(&mut self, now: Instant, image: &ClusterImage) -> Vec<BrokerId> {
        self.woke(now);
        let mut unfenced_count = 0;
        let mut quiet_count = 0;
        for broker in image.brokers().values() {
            let state = self.brokers.entry(broker.id).or_default();
            if broker.fenced {
                state.session = None;
                continue;
            }
            // A fence that did not get into the log leaves it unfenced, and is tried again.
            let session = state.session.get_or_insert_with(|| Session::begin(now));
            unfenced_count += 1;
            let silence = now.saturating_since(session.last_heartbeat);
            // Those that fell silent within the same session, though the last of them has half of it left.
            if !session.is_gone && silence >= self.session_timeout / 2 {
                quiet_count += 1;
            }
        }
        self.brokers.retain(|id, _| image.broker(*id).is_some());
        let is_mass = quiet_count >= 2 && quiet_count * 3 > unfenced_count;
        let timeout = self.session_timeout;
        let mut silent = Vec::new();
        for (id, state) in &mut self.brokers {
            let Some(session) = &mut state.session else {
                continue;
            };
            let silence = now.saturating_since(session.last_heartbeat);
            session.has_reprieve = is_mass && !session.is_gone;
            let limit = if session.has_reprieve {
                timeout * 2
            } else {
                timeout
            };
            if session.is_gone || silence >= limit {
                silent.push(*id);
            }
        }
        silent
    }

    /// A registered broker may have partitions from now on.
    pub(super) fn unfenced(&mut self, now: Instant, broker: BrokerId) {
        let state = self.brokers.entry(broker).or_default();
        state.session = Some(Session::begin(now));
        state.shutdown_offset = None;
    }

    /// The broker was fenced because it asked for it.
    pub(super) fn fenced_at_will(&mut self, broker: BrokerId) {
        let state = self.brokers.entry(broker).or_default();
        state.session = None;
        state.shutdown_offset = None;
    }

    /// The broker was fenced because it failed.
    pub(super) fn fenced_for_failure(&mut self, now: Instant, broker: BrokerId) {
        self.fenced_at_will(broker);
        let state = self.brokers.entry(broker).or_default();
        state.flaps.fenced(now);
        if state.flaps.is_held(now) {
            tracing::warn!(
                broker = broker.0,
                hold_ms = state.flaps.hold.as_millis() as u64,
                "a broker fails again and again, and stays fenced for a while"
            );
        }
    }

    /// A new process of the broker has registered.
    pub(super) fn registered(&mut self, broker: BrokerId) {
        self.fenced_at_will(broker);
        let state = self.brokers.entry(broker).or_default();
        state.metadata_offset = Offset(-1);
    }

    pub(super) fn unregistered(&mut self, broker: BrokerId) {
        self.brokers.remove(&broker);
    }

    /// Offset at which the log says that the broker shuts down; `at` if this is the first time we are asked.
    pub(super) fn shutdown_offset(&mut self, broker: BrokerId, at: Offset) -> Offset {
        let state = self.brokers.entry(broker).or_default();
        *state.shutdown_offset.get_or_insert(at)
    }

    /// Up to where every active broker has the metadata log; `None` when none is active.
    pub(super) fn lowest_active_offset(&self, image: &ClusterImage) -> Option<Offset> {
        let active = image.active_brokers();
        active
            .map(|broker| {
                let state = self.brokers.get(&broker.id);
                state.map_or(Offset(-1), |state| state.metadata_offset)
            })
            .min()
    }

    pub(super) fn unclean_elections(&mut self) -> &mut Timer {
        &mut self.unclean_elections
    }

    pub(super) fn leader_balance(&mut self) -> &mut Timer {
        &mut self.leader_balance
    }

    /// Tells apart that the others were silent from that we did not listen.
    fn woke(&mut self, now: Instant) {
        let Some(last) = self.last_event.replace(now) else {
            return;
        };
        let half = self.session_timeout / 2;
        let slept = now.saturating_since(last);
        if slept <= half {
            return;
        }
        tracing::warn!(
            slept_ms = slept.as_millis() as u64,
            "the controller did not run for a while; silent brokers get more time"
        );
        for session in self
            .brokers
            .values_mut()
            .filter_map(|state| state.session.as_mut())
        {
            let silence = now.saturating_since(session.last_heartbeat);
            if !session.has_grace && silence > half {
                session.has_grace = true;
                // As if the last heartbeat had come so late that half a session is left.
                session.last_heartbeat += silence - half;
            }
        }
    }
}

/// Something to do every so often.
#[derive(Copy, Clone, Debug)]
pub(super) struct Timer {
    interval: Option<Duration>,
    due: Option<Instant>,
}

impl Timer {
    fn every(interval_ms: Option<u64>) -> Self {
        Timer {
            interval: interval_ms.map(Duration::from_millis),
            due: None,
        }
    }

    fn restart(&mut self, now: Instant) {
        self.due = self.interval.map(|interval| now + interval);
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// It was done, wholly.
    pub(super) fn done(&mut self, now: Instant) {
        self.restart(now);
    }

    /// It was done in part: the rest comes soon.
    pub(super) fn done_in_part(&mut self, now: Instant) {
        self.due = Some(now + CONTINUE_AFTER);
    }

    /// Something has changed that makes it worth a try.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.due = Some(now);
    }
}

#[cfg(test)]
#[path = "liveness_tests.rs"]
mod tests;
