//! All policies in one module, made to trap on demand, for tests of what it remembers of before.

tidegate_glue::filter!(tidegate_sim::trap::Trap<tidegate_policy::fused::Fused>);
