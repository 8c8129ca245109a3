//! Events over Kafka: a transactional outbox, a relay that sends its events, and consumers.
//!
//! A change and its event are one transaction: [`Outbox::insert`] writes the event into a table
//! beside the change. A [`Relay`] sends it, and deletes it when the broker acknowledges it. So each
//! committed change has its event, and a change that was rolled back has none. An event may be
//! sent twice; [`Consumer`] and [`follow`] deduplicate by its id.
//!
//! On the wire an event is a CloudEvent in binary content mode: its attributes are headers of the
//! record, and its value is a message of `proto::events::v1`.
//!
//! No request waits for the broker, or fails because of it.

pub mod inbox;

#[cfg(feature = "broker")]
mod broker;
mod client;
mod consumer;
mod event;
mod handler;
mod outbox;
mod producer;
mod record;
mod registry;
mod relay;
mod settings;
mod table;
mod topics;

#[cfg(feature = "broker")]
pub use crate::broker::Broker;
pub use crate::{
    consumer::{Consumer, Start, follow},
    event::{AUTH_TOPIC, Data, Event, USER_TOPIC},
    handler::{Handler, HandlerError},
    outbox::{Outbox, Written},
    relay::Relay,
    settings::{Brokers, Registry, Settings},
    table::MIGRATIONS,
};
