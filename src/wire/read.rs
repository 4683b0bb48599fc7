//! A reader over octets that cannot run past their end.
