//! What a call is: a verb, a path, parameters, the type of its answer.

use reqwest::Method;
use serde::Serialize;

use crate::FromJson;

/// The verb of a call.
pub trait Verb {
    /// The method of HTTP.
    const METHOD: Method;
}

/// Reads.
#[derive(Debug)]
pub struct Get;
/// Makes or changes, under an idempotency key.
#[derive(Debug)]
pub struct Post;
/// Ends or deletes.
#[derive(Debug)]
pub struct Delete;

impl Verb for Get {
    const METHOD: Method = Method::GET;
}
impl Verb for Post {
    const METHOD: Method = Method::POST;
}
impl Verb for Delete {
    const METHOD: Method = Method::DELETE;
}

/// A call of Stripe's API. It serializes to its parameters; what is `None` is not sent.
pub trait Request: Serialize + Sync {
    /// How it is sent.
    type Verb: Verb;
    /// What comes back.
    type Answer: FromJson + Send;
    /// The path with names in braces where ids belong, as Stripe's document has it.
    const PATH: &'static str;

    /// The ids for those places, in order.
    fn ids(&self) -> Vec<&str>;
}

/// A call that this crate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// The request's type, with its module.
    pub request: &'static str,
    /// `Get`, `Post` or `Delete`.
    pub verb: &'static str,
    /// Its path, with names in braces where ids belong.
    pub path: &'static str,
}

/// All calls of this crate, so that tests can tell that none is unchecked.
#[linkme::distributed_slice]
pub static CALLS: [Call];

/// Makes a struct a [`Request`] and notes it among the [`CALLS`].
macro_rules! request {
    ($name:ident $(<$life:lifetime>)? : $verb:ident $path:literal [$($id:ident),*] -> $answer:ty) => {
        impl $crate::Request for $name $(<$life>)? {
            type Verb = $crate::$verb;
            type Answer = $answer;
            const PATH: &'static str = $path;

            fn ids(&self) -> Vec<&str> {
                vec![$(self.$id),*]
            }
        }

        #[expect(unsafe_code, reason = "registering puts a value into a section of the binary")]
        const _: () = {
            #[linkme::distributed_slice($crate::CALLS)]
            static CALL: $crate::Call = $crate::Call {
                request: concat!(module_path!(), "::", stringify!($name)),
                verb: stringify!($verb),
                path: $path,
            };
        };
    };
}

pub(crate) use request;
