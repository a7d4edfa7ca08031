//! Several nodes with one store: each with a clock of its own, killed, standing still, and never sure whether what they asked for was done.

mod asking;
mod network;
mod runs;
mod world;
