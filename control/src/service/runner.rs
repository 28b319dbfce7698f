//! The loop of the controller's thread.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use engine::types::Offset;
use reactor::oneshot;

use super::inbox::Inbox;
use super::port::{Call, CallError, ServiceFault};
use crate::controller::{ApiError, Context, Controller, ErrorCode, Liveness, Response};
use crate::image::{ClusterImage, Delta, MetadataPosition};
use crate::record::ControllerEpoch;
use crate::store::{AppendError, MetaLog, Plan};

/// A log that is worth a snapshot when the process ends: less is replayed within some ten milliseconds.
const SNAPSHOT_AT_CLOSE_BYTES: u64 = 1 << 20;

/// Hands images to the shards. Runs on the controller's thread.
pub trait Publish: Send + 'static {
    /// Done when every shard works with `image`. `delta` is what changed since the image before.
    fn publish(&mut self, image: Arc<ClusterImage>, delta: Arc<Delta>) -> impl Future<Output = ()>;
}

/// Holds: `image` is what the log amounts to up to `image.position()`, which is the log's end.
pub(super) struct Runner<P> {
    pub(super) controller: Controller,
    pub(super) liveness: Liveness,
    pub(super) log: MetaLog,
    pub(super) epoch: ControllerEpoch,
    pub(super) image: ClusterImage,
    pub(super) publish: P,
    pub(super) snapshots: Snapshots,
}

/// A group of calls decided against one image after the other.
struct Decided {
    plan: Plan,
    image: ClusterImage,
    delta: Delta,
    answers: Vec<Answer>,
}

/// An answer that waits for what it says to be true.
struct Answer {
    to: oneshot::Sender<Result<Response, CallError>>,
    result: Result<Response, CallError>,
}

impl Answer {
    fn send(self) {
        // The client may have gone; what it asked for is done all the same.
        let _ = self.to.send(self.result);
    }
}

/// Why a group of decisions did not come to be.
enum CommitError {
    /// Nothing was written; the next group may succeed.
    NoSpace(AppendError),
    Fault(ServiceFault),
}

impl<P: Publish> Runner<P> {
    /// Serves the inbox until it is closed or the log fails.
    pub(super) async fn run(mut self, inbox: &Inbox) -> Result<(), ServiceFault> {
        while let Some(calls) = inbox.group().await {
            let Decided {
                plan,
                image,
                delta,
                answers,
            } = self.decide(calls);
            if !plan.is_empty() {
                match self.commit(&plan, image, delta).await {
                    Ok(()) => self.snapshots.make_if_due(&self.log, &self.image),
                    Err(CommitError::NoSpace(error)) => {
                        tracing::warn!(%error, "a change of the cluster was refused");
                        fail(answers, &CallError::Refused(no_space(&error)));
                        continue;
                    }
                    Err(CommitError::Fault(fault)) => {
                        fail(answers, &CallError::Fault(fault.clone()));
                        return Err(fault);
                    }
                }
            }
            answers.into_iter().for_each(Answer::send);
        }
        self.snapshots.finish(&self.log, &self.image).await;
        Ok(())
    }

    fn decide(&mut self, calls: Vec<Call>) -> Decided {
        let mut group = Decided {
            plan: Plan::default(),
            image: self.image.clone(),
            delta: Delta::default(),
            answers: Vec::with_capacity(calls.len()),
        };
        for Call { request, answer } in calls {
            let mut random = reactor::random_u64;
            let mut context = Context {
                next_offset: self
                    .log
                    .end_offset()
                    .saturating_add(group.plan.record_count() as i64),
                random: &mut random,
                now: reactor::now(),
                liveness: &mut self.liveness,
            };
            let decision = self.controller.decide(&mut context, request, &group.image);
            let result = decision.and_then(|decision| {
                if !decision.records.is_empty() {
                    let (image, delta) = group.image.apply(&decision.records).map_err(misfit)?;
                    group.plan.push(&decision.records).map_err(too_large)?;
                    group.image = image;
                    group.delta.merge(delta);
                }
                Ok(decision.response)
            });
            group.answers.push(Answer {
                to: answer,
                result: result.map_err(CallError::from),
            });
        }
        group
    }

    async fn commit(&mut self, plan: &Plan, image: ClusterImage, delta: Delta) -> Result<(), CommitError> {
        let mut last = Offset::NONE;
        for batch in plan.batches() {
            last = match self.log.append(self.epoch, batch).await {
                Ok(appended) => appended.last_offset,
                Err(error @ AppendError::NoSpace { .. }) if last == Offset::NONE => {
                    return Err(CommitError::NoSpace(error));
                }
                // half of a change is in the log: only a new start knows how to leave it out
                Err(error) => return Err(CommitError::Fault(error.into())),
            };
        }
        self.image = image.at(MetadataPosition {
            offset: last,
            epoch: self.epoch,
        });
        let image = Arc::new(self.image.clone());
        self.publish.publish(image, Arc::new(delta)).await;
        Ok(())
    }
}

/// The decision does not fit the image it was made from: a mistake in the rules. The request is refused, the rest of
/// the group and the image are as if it had never come.
fn misfit(error: crate::image::ApplyError) -> ApiError {
    tracing::error!(%error, "a decision does not fit the image");
    debug_assert!(false, "a decision does not fit the image: {error}");
    ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string())
}

fn too_large(error: crate::store::RecordTooLarge) -> ApiError {
    ApiError::new(ErrorCode::POLICY_VIOLATION, error.to_string())
}

fn no_space(error: &AppendError) -> ApiError {
    ApiError::new(ErrorCode::KAFKA_STORAGE_ERROR, error.to_string())
}

fn fail(answers: Vec<Answer>, why: &CallError) {
    for mut answer in answers {
        // What was refused, was refused before anything was written.
        if answer.result.is_ok() {
            answer.result = Err(why.clone());
        }
        answer.send();
    }
}

/// When snapshots are due. They are made beside the work, one at a time.
pub(super) struct Snapshots {
    /// Log that makes one due.
    due_bytes: u64,
    /// After a failure the log has to grow by as much again: a full disk would be tried on every change otherwise.
    retry_bytes: Rc<Cell<u64>>,
    running: Option<reactor::Task<()>>,
}

impl Snapshots {
    pub(super) fn new(due_bytes: u64) -> Self {
        Snapshots {
            due_bytes,
            retry_bytes: Rc::default(),
            running: None,
        }
    }

    fn make_if_due(&mut self, log: &MetaLog, image: &ClusterImage) {
        let bytes = log.bytes_since_snapshot();
        let is_running = self.running.as_ref().is_some_and(|task| !task.is_finished());
        if bytes >= self.due_bytes.max(self.retry_bytes.get()) && !is_running {
            self.make(log, image, bytes);
        }
    }

    async fn finish(&mut self, log: &MetaLog, image: &ClusterImage) {
        if let Some(running) = self.running.take() {
            running.await;
        }
        let bytes = log.bytes_since_snapshot();
        if bytes >= SNAPSHOT_AT_CLOSE_BYTES.min(self.due_bytes) {
            self.make(log, image, bytes);
        }
        if let Some(running) = self.running.take() {
            running.await;
        }
    }

    fn make(&mut self, log: &MetaLog, image: &ClusterImage, bytes: u64) {
        let (log, image) = (log.clone(), image.clone());
        let (retry_bytes, due_bytes) = (Rc::clone(&self.retry_bytes), self.due_bytes);
        self.running = Some(reactor::spawn(async move {
            match log.write_snapshot(image).await {
                Ok(id) => {
                    tracing::info!(
                        end_offset = id.end_offset.0,
                        log_bytes = bytes,
                        "metadata snapshot"
                    );
                    retry_bytes.set(0);
                }
                Err(error) => {
                    tracing::error!(%error, "no metadata snapshot; the log goes on without");
                    retry_bytes.set(bytes.saturating_add(due_bytes));
                }
            }
        }));
    }
}
