//! A producer with a thread that serves its callbacks.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext as _,
    error::KafkaError,
    producer::{BaseProducer, ProducerContext},
};

/// Timeout of one poll. librdkafka waits in whole milliseconds, and `poll` spends the rest of its
/// timeout in a busy loop. With a timeout just above whole milliseconds, the rest has passed when the
/// wait ends. `ThreadedProducer` polls for 100 ms, so it spins for almost one millisecond of them:
/// 1 % of a processor for each idle producer.
const POLL: Duration = Duration::from_micros(100_100);

/// A producer with a thread that polls it until it is dropped.
pub(crate) struct Producer<C: ProducerContext + 'static> {
    client: Arc<BaseProducer<C>>,
    is_stopped: Arc<AtomicBool>,
    poll: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> Producer<C> {
    pub(crate) fn start(config: &ClientConfig, context: C) -> Result<Self, KafkaError> {
        let client = Arc::new(BaseProducer::from_config_and_context(config, context)?);
        let is_stopped = Arc::new(AtomicBool::new(false));
        let poll = {
            let (client, is_stopped) = (Arc::clone(&client), Arc::clone(&is_stopped));
            thread::Builder::new()
                .name("kafka-producer".to_owned())
                .spawn(move || {
                    while !is_stopped.load(Ordering::Relaxed) {
                        client.poll(POLL);
                    }
                })
                .expect("the system can start a thread")
        };
        Ok(Self {
            client,
            is_stopped,
            poll: Some(poll),
        })
    }
}

impl<C: ProducerContext + 'static> Deref for Producer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl<C: ProducerContext + 'static> Drop for Producer<C> {
    /// Waits for the thread, so that the client is closed when this returns.
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        if let Some(poll) = self.poll.take() {
            // A panic of a callback has been logged already.
            let _ = poll.join();
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;

    use super::*;
    use crate::client::{Quiet, config};

    /// Processor time of the threads of this name, in clock ticks. Linux has 100 ticks a second.
    fn ticks(name: &str) -> u64 {
        let threads = fs::read_dir("/proc/self/task").unwrap();
        threads
            .filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).ok())
            .filter_map(|stat| {
                let (before, after) = stat.rsplit_once(") ")?;
                let fields: Vec<_> = after.split(' ').collect();
                let is_it = before.ends_with(&format!("({name}"));
                is_it.then(|| {
                    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
                })
            })
            .sum()
    }

    #[test]
    fn an_idle_producer_takes_no_processor_time() {
        // Nothing listens there, so the producers only wait. Ten of them make the effect ten times as large.
        let producers: Vec<_> = (0..10)
            .map(|_| Producer::start(&config("127.0.0.1:9", "test"), Quiet::new()).unwrap())
            .collect();
        #[expect(
            clippy::disallowed_methods,
            reason = "the test's own thread, not a worker's"
        )]
        thread::sleep(Duration::from_secs(3));
        // A busy loop of 0.9 ms in each poll would take about 27 ticks.
        let ticks = ticks("kafka-producer");
        assert!(ticks <= 9, "{ticks}");
        drop(producers);
    }
}
