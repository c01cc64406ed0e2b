//! Models against their definition, and against themselves: in other chunks, on other threads, in parts.

mod forward;
mod loading;
mod model;
mod parts;
