//! Charges of closed periods on their way to an invoice.
