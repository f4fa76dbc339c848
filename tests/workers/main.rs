//! Several workers against one store: whole stages, every order of their store calls.

mod failure;
mod orders;
mod rates;
mod reload;
