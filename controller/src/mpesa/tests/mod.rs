//! The whole money path over real sockets: a simulated Daraja with phones, the callback route on loopback, and a real
//! SQLite file. Nothing of ours is replaced.

mod c2b;
mod callbacks;
mod closing;
mod codes;
mod disputed;
mod doctor;
mod grace;
mod health;
mod late;
mod moved;
mod one_payee;
mod operator;
mod payer_phone;
mod paying;
mod payout_short_code;
mod promised;
mod pulling;
mod queries;
mod refunds;
mod reviewing;
mod shop;
mod short_codes;
mod statements;
mod storm;
mod topping_up;
mod unreceipted;
mod wallet;
