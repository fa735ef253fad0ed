//! The pages of the service, as a person sees them in a browser. Each test is a journey on the real local stack.

mod account;
mod arrival;
mod foreign;
mod language;
mod password;
mod return_to;
mod service;
mod sign_in;
mod site;
mod visitor;
mod wire;
mod without_scripts;
