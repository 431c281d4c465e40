//! fewstep facade.
