//! The consumer: hands each event to a handler, in the order of its partition.
//!
//! A [`Consumer`] is one of a group that shares the partitions and remembers how far it is: an
//! event counts as handled when the handler is done with it, not before. [`follow`] is for what
//! each instance of a service wants to see for itself, from some events before its start on.
//!
//! What must not happen here: an event that is lost, or one that stops those behind it for ever.

mod assignment;
mod dead_letters;
mod partitions;
mod process;
mod session;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Handler, Settings,
    client::{self, BrokerStatus},
    topics,
};

use partitions::Partitions;
use session::{Mode, Session};

/// A member of a group that shares topics: each event goes to one of them.
#[derive(Clone, Debug)]
pub struct Consumer {
    settings: Settings,
    group: String,
    topics: Vec<String>,
    start: Start,
}

/// Where a group begins in a partition of which it has not handled anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Start {
    /// With the first event that is kept.
    Earliest,
    /// With the next event.
    Latest,
    /// With this many events before the next one.
    Tail(u32),
}

impl Consumer {
    /// A member of the group of this name, which begins with the first event that is kept.
    #[must_use]
    pub fn new(settings: &Settings, group: &str, topics: &[&str]) -> Self {
        Self {
            settings: settings.clone(),
            group: group.to_owned(),
            topics: topics.iter().map(ToString::to_string).collect(),
            start: Start::Earliest,
        }
    }

    /// Begins somewhere else, where the group has not begun yet.
    #[must_use]
    pub fn starting(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Handles events until `stop` ends: then no further ones, and those that were handled are
    /// committed. One that fails is tried again some times, and then set aside: it goes to the
    /// topic's dead letters, as does what cannot be read.
    pub async fn run<H: Handler>(self, handler: H, stop: impl Future<Output = ()>) {
        let mode = Mode::Member {
            group: self.group,
            start: self.start,
        };
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        run(&self.settings, &topics, &mode, handler, stop).await;
    }
}

/// Hands the last events of each partition of these topics to the handler, and then every new
/// one, until `stop` ends. What cannot be read or handled is said in the log and left out.
pub async fn follow<H: Handler>(
    settings: &Settings,
    topics: &[&str],
    last: usize,
    handler: H,
    stop: impl Future<Output = ()>,
) {
    let mode = Mode::Follower {
        // librdkafka wants the name of a group, though there is none: nothing is committed.
        name: format!("follower-{}", Uuid::now_v7()),
        last: u32::try_from(last).unwrap_or(u32::MAX),
    };
    run(settings, topics, &mode, handler, stop).await;
}

async fn run<H: Handler>(
    settings: &Settings,
    topics: &[&str],
    mode: &Mode,
    handler: H,
    stop: impl Future<Output = ()>,
) {
    let Some(brokers) = settings.brokers() else {
        tracing::info!("no events are received: KAFKA_BROKERS is not set");
        return stop.await;
    };
    let broker = Arc::new(BrokerStatus::default());
    let partitions = Partitions::start(mode.group());
    let stopping = CancellationToken::new();
    let work = async {
        tokio::select! {
            () = topics::ensure(settings, brokers, topics, &broker) => {}
            () = stopping.cancelled() => return,
        }
        client::sessions("events cannot be received", &stopping, || async {
            Session::start(brokers, topics, mode, &broker, &partitions)?
                .run(&handler, &stopping)
                .await
        })
        .await;
    };
    let stop = async {
        stop.await;
        stopping.cancel();
        // The work ends by itself: its event and its clients have deadlines.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = work => {}
        () = stop => {}
        () = report(&broker, &handler) => {}
    }
}

/// Tells the handler when the broker goes away, and when it is back; without end.
async fn report<H: Handler>(broker: &BrokerStatus, handler: &H) {
    let mut was_away = false;
    loop {
        broker.changed().await;
        let is_away = broker.is_away();
        // It may have been away for a moment only.
        if std::mem::replace(&mut was_away, is_away) != is_away {
            handler.connected(!is_away);
        }
    }
}
