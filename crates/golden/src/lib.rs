//! Replays reference cases of the official implementations over the workspace.
