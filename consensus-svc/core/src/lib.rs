//! The pure consensus machine: Mysticeti-C over signed blocks, commits and recovery.
