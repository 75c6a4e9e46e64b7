//! Tests over real processes, and of the floors of the workspace.
