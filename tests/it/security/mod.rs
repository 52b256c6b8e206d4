//! What must hold against those who mean harm: no secret gets out, and nobody does through a model,
//! a name or a form what he may not do himself.

mod injection;
mod secrets;
