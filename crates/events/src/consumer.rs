//! Consumers: they pass each event to a handler, in the order of its partition.
//!
//! A [`Consumer`] is a member of a group, which shares the partitions and commits offsets: an
//! event is committed after the handler has returned, not before. [`follow`] reads all partitions
//! without a group, for data that each instance of a service keeps for itself.
//!
//! No event is lost, and none blocks the next ones forever.

mod assignment;
mod callbacks;
mod dead_letters;
mod failure;
mod mode;
mod partitions;
mod process;
mod receiver;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Handler, Settings,
    client::{self, BrokerStatus},
    topics,
};

pub use mode::Start;

use mode::Mode;
use partitions::Partitions;
use receiver::Receiver;

/// A member of a consumer group: each event goes to one of its members.
///
/// Use it for services that act on events. No service of the project does so yet: the frontend
/// [follows](follow).
#[derive(Clone, Debug)]
pub struct Consumer {
    settings: Settings,
    group: String,
    topics: Vec<String>,
    start: Start,
}

impl Consumer {
    /// A member of the group of this name. The group begins with the oldest event that the broker
    /// keeps.
    #[must_use]
    pub fn new(settings: &Settings, group: &str, topics: &[&str]) -> Self {
        Self {
            settings: settings.clone(),
            group: group.to_owned(),
            topics: topics.iter().map(ToString::to_string).collect(),
            start: Start::Earliest,
        }
    }

    /// Sets where the group begins in partitions for which it has no committed offset.
    #[must_use]
    pub fn starting(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Handles events until `stop` ends, and commits the handled ones. If the handler keeps failing
    /// after some retries, the event goes to the topic's dead letters. A record that cannot be
    /// decoded goes there at once.
    pub async fn run<H: Handler>(self, handler: H, stop: impl Future<Output = ()>) {
        let mode = Mode::Member {
            group: self.group,
            start: self.start,
        };
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        run(&self.settings, &topics, &mode, handler, stop).await;
    }
}

/// Passes the last events of each partition of these topics to the handler, and then every new
/// one, until `stop` ends. An event that cannot be decoded or handled is logged and skipped.
pub async fn follow<H: Handler>(
    settings: &Settings,
    topics: &[&str],
    last: usize,
    handler: H,
    stop: impl Future<Output = ()>,
) {
    let mode = Mode::Follower {
        // librdkafka requires a group. This one commits nothing.
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
        client::supervise("events cannot be received", &stopping, || async {
            Receiver::start(brokers, topics, mode, &broker, &partitions)?
                .run(&handler, &stopping)
                .await
        })
        .await;
    };
    let stop = async {
        stop.await;
        stopping.cancel();
        // Never ends, because the work ends by itself: its event and its clients have deadlines.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = work => {}
        () = stop => {}
        () = report(&broker, &handler) => {}
    }
}

/// Notifies the handler when the broker goes away and when it is back. Never ends.
async fn report<H: Handler>(broker: &BrokerStatus, handler: &H) {
    let mut was_away = false;
    loop {
        broker.changed().await;
        let is_away = broker.is_away();
        // Two changes since the last call cancel out.
        if std::mem::replace(&mut was_away, is_away) != is_away {
            handler.connected(!is_away);
        }
    }
}
