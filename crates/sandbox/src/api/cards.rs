//! Cards of numbers and tokens.

use crate::engine::{Work, tokens};
use crate::fault::Fault;
use crate::model::{Address, Card, CardBehaviour, Metadata, PaymentMethod};

/// A card as a form or a request gives it.
#[derive(Debug, Clone, Default)]
pub(crate) struct CardInput {
    pub(crate) number: String,
    pub(crate) exp_month: i64,
    pub(crate) exp_year: i64,
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) address: Option<Address>,
    pub(crate) metadata: Metadata,
}

/// A card that belongs to nobody yet. Only test numbers are taken, since nothing is charged here.
pub(crate) fn card_of(work: &mut Work, input: CardInput) -> Result<PaymentMethod, Fault> {
    let number: String = input.number.chars().filter(|letter| !matches!(letter, ' ' | '-')).collect();
    let behaviour = tokens::by_number(&number)
        .ok_or_else(|| Fault::card("incorrect_number", "Your card number is incorrect.").param("number"))?;
    if !(1..=12).contains(&input.exp_month) {
        let message = "Your card's expiration month is invalid.";
        return Err(Fault::card("invalid_expiry_month", message).param("exp_month"));
    }
    Ok(make(work, &number, behaviour, input))
}

fn make(work: &mut Work, number: &str, behaviour: CardBehaviour, input: CardInput) -> PaymentMethod {
    let brand = match number.get(..1) {
        Some("3") => "amex",
        Some("5") => "mastercard",
        _ => "visa",
    };
    let last4 = number.get(number.len().saturating_sub(4)..).unwrap_or_default().to_owned();
    PaymentMethod {
        id: work.long_id("pm_"),
        created: work.now,
        customer: None,
        card: Card { behaviour, brand: brand.to_owned(), last4, exp_month: input.exp_month, exp_year: input.exp_year },
        set_up: false,
        address: input.address,
        email: input.email,
        name: input.name,
        phone: input.phone,
        metadata: input.metadata,
    }
}

/// The id of a card that a parameter names; for one of Stripe's test ids a new card of that kind.
pub(crate) fn adopt(work: &mut Work, id: &str, param: &str) -> Result<String, Fault> {
    if let Some(found) = work.state.payment_methods.get(id) {
        return Ok(found.id.clone());
    }
    let (number, behaviour) = tokens::by_token(id).ok_or_else(|| Fault::missing_param("PaymentMethod", id, param))?;
    let input = CardInput { exp_month: 12, exp_year: 2034, ..CardInput::default() };
    let card = make(work, number, behaviour, input);
    let id = card.id.clone();
    work.state.payment_methods.put(card);
    Ok(id)
}
