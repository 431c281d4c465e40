//! One trainer for every distillation method: players, turns, optimizers, EMA, checkpoints, observers.
