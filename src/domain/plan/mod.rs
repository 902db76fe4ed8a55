//! Planners: from what is known and what is asked, the acts with their reasons, or a refusal with its evidence. Pure.
