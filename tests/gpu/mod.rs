//! Every kernel against plain loops on the host. They need a GPU.

mod attention;
mod features;
mod logits;
mod numbers;
mod rows;
