//! The words of the house: ids, times, health, alerts, configuration, events, subjects, the snapshot.
//!
//! `model` imports nothing of the house and does nothing: no I/O, no clock, no randomness. Time is an
//! argument. Types that cross a wall (events, the snapshot, API bodies) derive `Serialize`, and each has a
//! schema under `schemas/`. A [`secret::Secret`] has none, so that no such type can hold one.

pub mod id;
pub mod secret;
pub mod time;

pub mod alert;
pub mod audit;
pub mod auth;
pub mod budget;
pub mod cache;
pub mod config;
pub mod delivery;
pub mod forecast;
pub mod health;
pub mod integration;
pub mod key;
pub mod merge;
pub mod operation;
pub mod period;
pub mod price;
pub mod quota;
pub mod route;
pub mod rule;
pub mod token;
pub mod uptime;
pub mod usage;
pub mod webhook;

pub mod ask;
pub mod event;
pub mod snapshot;
pub mod subject;

pub use event::{Envelope, Event};
pub use id::{AlertId, DeliveryId, EventId, IntegrationId, KeyId, ProviderId, RouteId, TokenId, WebhookId};
pub use secret::Secret;
pub use time::Timestamp;
