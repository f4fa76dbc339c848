//! The discovery filter, made to trap on demand, for tests of what is known afterwards.

tidegate_glue::filter!(tidegate_sim::trap::Trap<tidegate_policy::discovery::Discovery>);
