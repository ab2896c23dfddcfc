//! A private PostgreSQL cluster in a data folder.
