//! The service as its clients meet it: the real binary, over HTTP, on simulated hosts.

#![cfg(test)]

mod accounts;
mod api;
mod definitions;
mod destinations;
mod documents;
mod drain;
mod driving;
mod durable;
mod forecasts;
mod guards;
mod harness;
mod kills;
mod kimchi;
mod kimchi_client;
mod load;
mod matrix;
mod names;
mod releases;
mod resolving;
mod rules;
mod tap;
mod twice;
mod watching;
