//! usage rows
