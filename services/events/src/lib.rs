//! Events over Kafka: what a service tells others of what has happened.
//!
//! A change and its event are one transaction: [`Outbox::insert`] writes the event into a table
//! beside the change. A [`Relay`] sends it and removes it when the broker has it. So no change
//! that was acknowledged lacks its event, and none that was rolled back has one. An event may be
//! sent twice; it has an id, by which [`Consumer`] and [`follow`] drop the second.
//!
//! On the wire an event is a CloudEvent in binary content mode: the record's headers say what it
//! is, and its value is one of the messages of `proto::events::v1`.
//!
//! What must not happen here: a request waiting for the broker, or failing with it.

pub mod inbox;

#[cfg(feature = "broker")]
mod broker;
mod client;
mod consumer;
mod event;
mod handler;
mod outbox;
mod record;
mod registry;
mod relay;
mod settings;
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
};
