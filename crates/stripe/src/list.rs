//! Lists, and following them to their end.

use serde_json::Value;

use crate::client::{Client, Prepared};
use crate::read::{FromJson, Object, ReadError, member};
use crate::{Get, Request, StripeError};

/// One page of a list, newest first unless the call says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct List<T> {
    /// The objects of this page.
    pub data: Vec<T>,
    /// More follow behind the last one.
    pub has_more: bool,
}

impl<T: FromJson> FromJson for List<T> {
    fn from_json(value: &Value) -> Result<Self, ReadError> {
        let members = value.as_object().ok_or(ReadError::new("a list object"))?;
        Ok(Self { data: member(members, "data")?, has_more: member(members, "has_more")? })
    }

    fn absent() -> Option<Self> {
        Some(Self { data: Vec::new(), has_more: false })
    }
}

/// The pages of a list, one after the other.
#[derive(Debug)]
pub struct Pages<T> {
    client: Client,
    /// The next request; None after the last page.
    next: Option<Prepared>,
    item: std::marker::PhantomData<fn() -> T>,
}

impl<T: Object> Pages<T> {
    pub(crate) fn new<R>(client: &Client, request: &R) -> Result<Self, StripeError>
    where
        R: Request<Verb = Get, Answer = List<T>>,
    {
        Ok(Self { client: client.clone(), next: Some(Prepared::new(request)?), item: std::marker::PhantomData })
    }

    /// The objects of the next page. None behind the last one.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>, StripeError> {
        let Some(call) = &mut self.next else { return Ok(None) };
        let page: List<T> = self.client.send(call, None).await?;
        match page.data.last().filter(|_| page.has_more) {
            Some(last) => call.set("starting_after", last.id()),
            None => self.next = None,
        }
        Ok(Some(page.data))
    }
}
