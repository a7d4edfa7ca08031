//! Users who are woken together, under joins, leaves, faults and crashes. The decisions are those of production, in its order; only the loop
//! around them is the simulation's, so that a crash can come between any two of them.

mod checks;
mod runs;
mod scenery;
mod world;
