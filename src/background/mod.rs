//! Background tasks: each looks at everything, slowly, and puts right what events and operations have missed. No input, never
//! two at once.

pub mod sweep;
