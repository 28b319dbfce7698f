//! Being the controller: groups of calls are decided, appended, published and answered; time is watched.

use std::time::Duration;

use engine::types::Offset;
use futures_util::future::{Either, select};
use reactor::oneshot;

use super::follower::not_ours;
use super::port::{Call, CallError, Decided, Outcome, ServiceFault};
use super::runner::{Ended, Predecessor, Publish, Runner};
use crate::controller::{ApiError, ErrorCode, Response};
use crate::image::{ClusterImage, Delta, MetadataPosition};
use crate::record::{AbortTransactionRecord, ControllerEpoch, Record};
use crate::store::{AppendError, Plan};

/// How long callers wait for the store. The append itself goes on: it ends with certainty.
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// A group of calls decided against one image after the other.
struct Group {
    plan: Plan,
    image: ClusterImage,
    delta: Delta,
    answers: Vec<Answer>,
}

/// An answer that waits for what it says to be true.
struct Answer {
    to: oneshot::Sender<Outcome>,
    result: Result<Response, CallError>,
}

/// Why a group of decisions did not come to be.
enum CommitError {
    /// Nothing was written; the next group may succeed.
    NoSpace(AppendError),
    /// Nothing was written, nor will be by this controller.
    Deposed,
    Fault(ServiceFault),
}

impl<P: Publish> Runner<P> {
    /// What a new controller does first: leaves nothing half done, and knows everything.
    pub(super) async fn take_over(
        &mut self,
        epoch: ControllerEpoch,
        predecessor: Option<Predecessor>,
    ) -> Result<(), ServiceFault> {
        self.catch_up().await?;
        let mut first = Vec::new();
        if self.seen.assembler.is_open() {
            let abort = AbortTransactionRecord {
                reason: Some("the controller that began it has ended".to_owned()),
                ..AbortTransactionRecord::default()
            };
            first.push(Record::from(abort));
            let _aborted = self.seen.assembler.push(first.clone());
        }
        let mut bootstrap = self.watch.controller().bootstrap(&self.seen.image);
        if !bootstrap.is_empty()
            && let Some(formatted) = self.board.log.bootstrap_records().map_err(not_ours)?
        {
            bootstrap = formatted;
        }
        let (image, delta) = self.seen.image.apply(&bootstrap).map_err(not_ours)?;
        first.extend(bootstrap);
        let mut offset = Offset(self.seen.next.0 - 1);
        if !first.is_empty() {
            match self.board.log.append(epoch, &first).await {
                Ok(appended) => offset = appended.last_offset,
                Err(AppendError::Fenced { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.appended(MetadataPosition { offset, epoch }, image, delta)
            .await;
        self.watch.took_over(&self.seen.image, predecessor);
        tracing::info!(
            epoch = epoch.0,
            offset = offset.0,
            topics = self.seen.image.topic_count(),
            partitions = self.seen.image.partition_count(),
            "this node is the controller"
        );
        for (kind, count) in self.seen.image.kept_without_effect() {
            tracing::warn!(count, "{kind} are kept, but this version does not act on them");
        }
        self.board.set_leading(Some(epoch));
        Ok(())
    }

    /// What this controller has decided is in the log up to `position`.
    async fn appended(&mut self, position: MetadataPosition, image: ClusterImage, delta: Delta) {
        self.seen.next = position.offset.next();
        self.seen.image = image.at(position);
        self.show(delta).await;
    }

    pub(super) async fn lead(&mut self, epoch: ControllerEpoch) -> Result<Ended, ServiceFault> {
        loop {
            let (board, watch, queue) = (self.board.clone(), self.watch.clone(), self.queue.clone());
            let changed = board.changed().notified();
            let due_changed = watch.changed().notified();
            if board.is_stopping() {
                queue.close();
            }
            if board.controller().is_some_and(|known| known.epoch > epoch) {
                return Ok(Ended::Deposed);
            }
            if !self.is_alone
                && let Some(ended) = self.tick(epoch).await?
            {
                return Ok(ended);
            }
            let due = async {
                match watch.next_deadline().filter(|_| !self.is_alone) {
                    Some(at) => reactor::sleep(at.saturating_since(reactor::now())).await,
                    None => std::future::pending().await,
                }
            };
            let anything = select(Box::pin(due), select(Box::pin(changed), Box::pin(due_changed)));
            let group = match select(Box::pin(queue.group()), anything).await {
                Either::Left((Some(calls), _)) => calls,
                Either::Left((None, _)) => return Ok(Ended::Stopped),
                Either::Right(_) => continue,
            };
            if let Some(ended) = self.serve(epoch, group).await? {
                return Ok(ended);
            }
        }
    }

    /// What time demands: silent brokers are fenced, and the like.
    async fn tick(&mut self, epoch: ControllerEpoch) -> Result<Option<Ended>, ServiceFault> {
        let records = self.watch.tick(&self.seen.image, self.seen.next);
        if records.is_empty() {
            return Ok(None);
        }
        let mut plan = Plan::default();
        let (image, delta) = match self.seen.image.apply(&records) {
            Ok(applied) => applied,
            Err(error) => {
                misfit(error);
                return Ok(None);
            }
        };
        if let Err(error) = plan.push(&records) {
            tracing::error!(%error, "a record of the controller");
            return Ok(None);
        }
        let group = Group {
            plan,
            image,
            delta,
            answers: Vec::new(),
        };
        self.finish(epoch, group).await
    }

    async fn serve(
        &mut self,
        epoch: ControllerEpoch,
        calls: Vec<Call>,
    ) -> Result<Option<Ended>, ServiceFault> {
        let group = self.decide(calls);
        self.finish(epoch, group).await
    }

    /// Makes a group true, then answers.
    async fn finish(&mut self, epoch: ControllerEpoch, group: Group) -> Result<Option<Ended>, ServiceFault> {
        let Group {
            plan,
            image,
            delta,
            mut answers,
        } = group;
        if !plan.is_empty() {
            match self.commit(epoch, &plan, (image, delta), &mut answers).await {
                Ok(()) => {
                    let (log, image) = (self.board.log.clone(), self.seen.image.clone());
                    self.snapshots.make_if_due(&log, &image);
                }
                Err(CommitError::NoSpace(error)) => {
                    tracing::warn!(%error, "a change of the cluster was refused");
                    fail(answers, &CallError::Refused(no_space(&error)));
                    return Ok(None);
                }
                Err(CommitError::Deposed) => {
                    fail(answers, &CallError::NoController);
                    return Ok(Some(Ended::Deposed));
                }
                Err(CommitError::Fault(fault)) => {
                    fail(answers, &CallError::Fault(fault.clone()));
                    return Err(fault);
                }
            }
        }
        let offset = self.seen.image.position().offset;
        for answer in answers {
            answer.send(offset);
        }
        Ok(None)
    }

    fn decide(&self, calls: Vec<Call>) -> Group {
        let mut group = Group {
            plan: Plan::default(),
            image: self.seen.image.clone(),
            delta: Delta::default(),
            answers: Vec::with_capacity(calls.len()),
        };
        for Call { request, answer } in calls {
            let next_offset = self.seen.next.saturating_add(group.plan.record_count() as i64);
            let decision = self.watch.decide(request, &group.image, next_offset);
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

    async fn commit(
        &mut self,
        epoch: ControllerEpoch,
        plan: &Plan,
        (image, delta): (ClusterImage, Delta),
        answers: &mut Vec<Answer>,
    ) -> Result<(), CommitError> {
        let mut last = None;
        for batch in plan.batches() {
            let append = Box::pin(self.board.log.append(epoch, batch));
            let appended = match select(append, Box::pin(reactor::sleep(STORE_PATIENCE))).await {
                Either::Left((appended, _)) => appended,
                Either::Right(((), append)) => {
                    tracing::warn!("the store does not answer; changes of the cluster wait for it");
                    fail(std::mem::take(answers), &CallError::Undecided);
                    append.await
                }
            };
            last = match appended {
                Ok(appended) => Some(appended.last_offset),
                Err(error @ AppendError::NoSpace { .. }) if last.is_none() => {
                    return Err(CommitError::NoSpace(error));
                }
                // Half of a change may be in the log; the next controller aborts it.
                Err(AppendError::Fenced { .. }) => return Err(CommitError::Deposed),
                Err(error) => return Err(CommitError::Fault(error.into())),
            };
        }
        self.board.figures().appended(plan);
        let offset = last.unwrap_or(self.seen.image.position().offset);
        self.appended(MetadataPosition { offset, epoch }, image, delta)
            .await;
        Ok(())
    }
}

impl Answer {
    fn send(self, offset: Offset) {
        // The client may have gone; what it asked for is done all the same.
        let _ = self
            .to
            .send(self.result.map(|response| Decided { response, offset }));
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
        answer.send(Offset::NONE);
    }
}
