//! A broker and a consumer of its events.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use events::{Broker, Event, Handler, HandlerError, Settings};

/// A broker, and a consumer that keeps the events of one topic.
#[derive(Debug)]
pub struct Listener {
    broker: Broker,
    events: Arc<Mutex<Vec<Event>>>,
}

struct Memory(Arc<Mutex<Vec<Event>>>);

impl Handler for Memory {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.0.lock().unwrap().push(event.clone());
        Ok(())
    }
}

impl Listener {
    /// Starts a broker, and consumes this topic.
    #[must_use]
    pub fn start(topic: &'static str) -> Self {
        let broker = Broker::start(6).unwrap();
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let memory = Memory(Arc::clone(&events));
        let settings = Settings::of(&broker.address().to_string()).unwrap();
        tokio::spawn(async move {
            let never = std::future::pending();
            events::follow(&settings, &[topic], 1000, memory, never).await;
        });
        Self { broker, events }
    }

    /// The argument with which a service uses this broker.
    #[must_use]
    pub fn argument(&self) -> String {
        format!("--kafka-brokers={}", self.broker.address())
    }

    /// All events in the order in which they happened, once there are `count`.
    pub async fn events(&self, count: usize) -> Vec<Event> {
        let wait = async {
            while self.events.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .unwrap();
        let mut events = self.events.lock().unwrap().clone();
        events.sort_by_key(|event| event.id);
        events
    }
}
