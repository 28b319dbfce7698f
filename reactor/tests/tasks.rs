//! Tasks, time, mailboxes and what tasks wait for, over both fillings.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use reactor::sync::{Budget, Notify};
use reactor::{BackendChoice, Lost, mailbox, now, oneshot, sleep, spawn, timeout, yield_now};

struct DropFlag(Rc<Cell<bool>>);

impl Drop for DropFlag {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

fn same_backend() -> BackendChoice {
    match reactor::current().expect("a reactor").backend {
        reactor::Backend::Uring => BackendChoice::Uring,
        reactor::Backend::Epoll => BackendChoice::Epoll,
        reactor::Backend::Sim => unreachable!("this test runs on real machines"),
    }
}

on_both! {
    /// Timers fire in the order of their deadlines, equal ones in the order they were set, and never early.
    async fn timers_fire_in_order() {
        let fired = Rc::new(RefCell::new(Vec::new()));
        let start = now() + Duration::from_millis(500); // all are set before the first is due
        let tasks: Vec<_> = [5u64, 1, 3, 1, 4, 0, 2].into_iter().enumerate().map(|(i, ms)| {
            let fired = fired.clone();
            spawn(async move {
                let deadline = start + Duration::from_millis(ms);
                reactor::sleep_until(deadline).await;
                assert!(now() >= deadline);
                fired.borrow_mut().push((ms, i));
            })
        }).collect();
        for task in tasks {
            task.await;
        }
        assert_eq!(*fired.borrow(), [(0, 5), (1, 1), (1, 3), (2, 6), (3, 2), (4, 4), (5, 0)]);
        let timers = reactor::metrics().timers;
        assert!(timeout(Duration::from_secs(3600), async {}).await.is_ok());
        assert!(timeout(Duration::from_micros(1), std::future::pending::<()>()).await.is_err());
        assert!(timeout(Duration::MAX, yield_now()).await.is_ok());
        assert_eq!(reactor::metrics().timers, timers, "dropped timers are unset");
    }
}

on_both! {
    /// An aborted task's resources are freed at once, its waiter hears of it, and nobody else is hurt.
    async fn abort_frees() {
        let dropped = Rc::new(Cell::new(false));
        let flag = DropFlag(dropped.clone());
        let before = reactor::metrics().tasks_live;
        let task = spawn(async move {
            let _flag = flag;
            sleep(Duration::from_secs(3600)).await;
        });
        yield_now().await;
        assert!(!dropped.get() && !task.is_finished());
        task.abort();
        assert!(dropped.get() && task.is_finished());
        assert_eq!(reactor::metrics().tasks_live, before);
        assert_eq!(task.outcome().await, Err(Lost::Aborted));

        let itself = Rc::new(RefCell::new(None::<reactor::Task<()>>));
        let task = spawn({
            let itself = itself.clone();
            async move {
                if let Some(me) = &*itself.borrow() {
                    me.abort(); // in the middle of its own poll
                }
                std::future::pending::<()>().await;
            }
        });
        *itself.borrow_mut() = Some(task);
        while reactor::metrics().tasks_live > before {
            yield_now().await;
        }
    }
}

on_both! {
    /// One task's bug must not take the shard's other connections along, nor pass unseen.
    async fn a_panic_stays_in_its_task() {
        let dropped = Rc::new(Cell::new(false));
        let flag = DropFlag(dropped.clone());
        let panicking = spawn(async move {
            let _flag = flag;
            yield_now().await;
            panic!("on purpose");
        });
        let other = spawn(async { sleep(Duration::from_millis(1)).await; 7 });
        assert_eq!(panicking.outcome().await, Err::<(), _>(Lost::Panicked));
        assert!(dropped.get());
        assert_eq!(other.await, 7);
        assert_eq!(reactor::metrics().tasks_panicked, 1);
        let awaiting = spawn(async { spawn(async { panic!("on purpose") }).await });
        assert_eq!(awaiting.outcome().await, Err::<(), _>(Lost::Panicked));
    }
}

/// A bug in main must reach the caller, but only after the kernel has let go of the tasks' memory.
#[test]
fn a_panic_of_main_is_passed_on_after_the_clean_up() {
    for backend in [BackendChoice::Auto, BackendChoice::Epoll] {
        let dropped = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let flag = dropped.clone();
        let result = std::panic::catch_unwind(move || {
            reactor::run(common::config(backend), async move {
                let begun = Rc::new(Cell::new(false));
                let has_begun = begun.clone();
                spawn(async move {
                    let (_client, server) = common::pair().await;
                    let task = spawn(async move { server.recv(&mut bytes::BytesMut::new()).await.map(drop) });
                    struct Last(std::sync::Arc<std::sync::atomic::AtomicBool>);
                    impl Drop for Last {
                        fn drop(&mut self) {
                            spawn(async {}).detach(); // what a drop spawns at the end is dropped, not run
                            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
                        }
                    }
                    let _last = Last(flag);
                    has_begun.set(true);
                    task.await.expect("recv");
                })
                .detach();
                while !begun.get() {
                    sleep(Duration::from_millis(1)).await;
                }
                sleep(Duration::from_millis(20)).await;
                panic!("on purpose");
            })
        });
        assert!(result.is_err());
        assert!(dropped.load(std::sync::atomic::Ordering::SeqCst));
        assert!(reactor::current().is_none());
    }
}

#[test]
fn a_thread_runs_one_reactor() {
    let nested = reactor::run(common::config(BackendChoice::Auto), async {
        reactor::run(common::config(BackendChoice::Auto), async {}).is_err()
    });
    assert!(nested.expect("the outer one runs"));
    let panicking = reactor::thread(common::config(BackendChoice::Auto), || async {
        panic!("on purpose")
    });
    assert!(panicking.expect("a thread").join().is_err());
}

on_both! {
    /// A million messages between two cores, with the receiver falling asleep now and then: none lost, none twice.
    async fn mailbox_across_threads() {
        const MESSAGES: u64 = 1_000_000;
        let (mut sender, mut receiver) = mailbox::channel(1024);
        let other = reactor::thread(common::config(same_backend()), move || async move {
            let mut next = 0;
            while next < MESSAGES {
                match sender.try_send(next) {
                    Ok(()) => next += 1,
                    Err(mailbox::Full(_)) => yield_now().await,
                }
                if next % 50_000 == 0 {
                    sleep(Duration::from_micros(300)).await; // let the other side fall asleep
                }
            }
        }).expect("a thread");
        let mut expected = 0;
        while let Some(message) = receiver.recv().await {
            assert_eq!(message, expected);
            expected += 1;
        }
        assert_eq!(expected, MESSAGES);
        other.join().expect("the sender ends");
    }
}

on_both! {
    /// Every hop puts one side to sleep: a single lost wake hangs here.
    async fn ping_pong_loses_no_wake() {
        let (mut there, mut other_in) = mailbox::channel(1);
        let (mut other_out, mut back) = mailbox::channel(1);
        let other = reactor::thread(common::config(same_backend()), move || async move {
            while let Some(n) = other_in.recv().await {
                let n: u32 = n;
                other_out.try_send(n + 1).expect("room for one");
            }
        }).expect("a thread");
        for n in 0..20_000u32 {
            there.try_send(n).expect("room for one");
            assert_eq!(back.recv().await, Some(n + 1));
        }
        drop(there);
        assert_eq!(back.recv().await, None);
        other.join().expect("the other ends");
    }
}

on_both! {
    async fn mailbox_bounds_and_ends() {
        let (mut sender, mut receiver) = mailbox::channel(3);
        for i in 0..3 {
            sender.try_send(Rc::new(i).to_string()).expect("room");
        }
        assert_eq!(sender.try_send("fourth".to_owned()), Err(mailbox::Full("fourth".to_owned())));
        assert_eq!(receiver.recv().await.as_deref(), Some("0"));
        sender.try_send("fourth".to_owned()).expect("room again");
        drop(sender);
        assert_eq!(receiver.recv().await.as_deref(), Some("1"));
        assert_eq!(receiver.try_recv().as_deref(), Some("2"));
        assert_eq!(receiver.recv().await.as_deref(), Some("fourth"));
        assert_eq!(receiver.recv().await, None);
        let (mut sender, receiver) = mailbox::channel(3);
        sender.try_send(1).expect("room");
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.try_send(2), Err(mailbox::Full(2)));
    }
}

on_both! {
    /// A mailbox that is never empty must not keep the shard's other tasks from running.
    async fn a_busy_task_leaves_room_for_others() {
        let (mut sender, mut receiver) = mailbox::channel(10_000);
        for i in 0..10_000 {
            sender.try_send(i).expect("room");
        }
        let others = Rc::new(Cell::new(0));
        let other = spawn({
            let others = others.clone();
            async move {
                loop {
                    others.set(others.get() + 1);
                    yield_now().await;
                }
            }
        });
        yield_now().await;
        let before = others.get();
        for _ in 0..10_000 {
            receiver.recv().await;
        }
        assert!(others.get() > before + 10, "{} polls of the other task", others.get() - before);
        other.abort();
    }
}

on_both! {
    async fn oneshot_across_threads() {
        for round in 0..200u32 {
            let (sender, receiver) = oneshot::<u32>();
            let thread = std::thread::spawn(move || {
                if round % 3 == 0 {
                    std::thread::sleep(Duration::from_micros(100));
                }
                if round % 5 == 4 { drop(sender) } else { sender.send(round).expect("somebody waits") }
            });
            let expected = if round % 5 == 4 { Err(reactor::oneshot::Dropped) } else { Ok(round) };
            assert_eq!(receiver.await, expected);
            thread.join().expect("the thread ends");
        }
        let (sender, receiver) = oneshot::<u32>();
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(sender.send(1), Err(1));
    }
}

on_both! {
    /// Heavy work must not block the shard, more of it than threads must queue, and its panic belongs to who asked.
    async fn background_runs_elsewhere() {
        let here = std::thread::current().id();
        let jobs: Vec<_> = (0..100u64).map(|i| spawn(reactor::background(move || {
            std::thread::sleep(Duration::from_micros(i * 10));
            assert_ne!(std::thread::current().id(), here);
            i * 2
        }))).collect();
        for (i, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.await, i as u64 * 2);
        }
        let panicking = spawn(reactor::background(|| panic!("on purpose")));
        assert_eq!(panicking.outcome().await, Err::<(), _>(Lost::Panicked));
    }
}

on_both! {
    /// Small requests must not starve a big one, and a dropped wait must not block those behind it.
    async fn budget_is_fair() {
        let budget = Budget::new(100);
        let order = Rc::new(RefCell::new(Vec::new()));
        let first = budget.reserve(80).await;
        let ask = |bytes: usize| {
            let (budget, order) = (budget.clone(), order.clone());
            spawn(async move {
                let held = budget.reserve(bytes).await;
                order.borrow_mut().push(bytes);
                held
            })
        };
        let big = ask(90);
        yield_now().await;
        let small = ask(10);
        let dropped = ask(95);
        let huge = ask(1_000_000);
        for _ in 0..5 {
            yield_now().await;
        }
        assert!(order.borrow().is_empty(), "20 are free, but the first in line asks for 90");
        assert!(budget.try_reserve(1).is_none(), "nobody overtakes");
        drop(first);
        let big = big.await;
        let small = small.await;
        assert_eq!(budget.available(), 0);
        dropped.abort();
        drop((big, small));
        let huge = huge.await;
        assert_eq!((huge.bytes(), budget.available()), (100, 0));
        drop(huge);
        assert_eq!(*order.borrow(), [90, 10, 1_000_000]);
        let mut some = budget.try_reserve(60).expect("all is free");
        some.merge(budget.try_reserve(40).expect("the rest"));
        some.release(70);
        assert_eq!((some.bytes(), budget.available()), (30, 70));
        drop(some);
        assert_eq!(budget.available(), 100);
    }
}

on_both! {
    async fn notify_wakes_whom_it_should() {
        let notify = Rc::new(Notify::new());
        let woken = Rc::new(Cell::new(0));
        let waiters: Vec<_> = (0..4).map(|_| {
            let (notify, woken) = (notify.clone(), woken.clone());
            spawn(async move {
                notify.notified().await;
                woken.set(woken.get() + 1);
            })
        }).collect();
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(woken.get(), 0);
        notify.notify_one();
        waiters[0].abort(); // woken, and gone before it could look: the next one must hear of it
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(woken.get(), 1);
        let created_before = notify.notified();
        notify.notify_waiters();
        created_before.await;
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(woken.get(), 3);
        assert!(timeout(Duration::from_millis(1), notify.notified()).await.is_err());
        notify.notify_one();
        notify.notified().await;
    }
}

on_both! {
    /// Futures of other crates wake from wherever they like.
    async fn foreign_threads_wake_tasks() {
        let (sender, receiver) = std::sync::mpsc::channel::<std::task::Waker>();
        let thread = std::thread::spawn(move || {
            for waker in receiver {
                waker.wake();
            }
        });
        for _ in 0..5_000 {
            let mut sent = false;
            std::future::poll_fn(|cx| {
                if std::mem::replace(&mut sent, true) {
                    return std::task::Poll::Ready(());
                }
                sender.send(cx.waker().clone()).expect("the thread listens");
                std::task::Poll::Pending
            }).await;
        }
        drop(sender);
        thread.join().expect("the thread ends");
        let turns = reactor::metrics().turns;
        sleep(Duration::from_millis(100)).await;
        let spent = reactor::metrics().turns - turns;
        assert!(spent < 10, "{spent} turns for one sleep: the bell keeps ringing");
    }
}

on_both! {
    async fn metrics_count() {
        let before = reactor::metrics();
        sleep(Duration::from_millis(2)).await;
        spawn(async {}).await;
        let after = reactor::metrics();
        assert!(after.polls > before.polls && after.turns > before.turns && after.sleeps > before.sleeps);
        assert_eq!(after.tasks_live, 0);
    }
}
