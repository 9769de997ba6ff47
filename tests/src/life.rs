//! The demo's life: customers pay, refuse and forget, subscriptions run out, bytes move, and now and then a site's backhaul is
//! down for a while. Driven by a seed, so that a life can be lived again.

use std::time::Duration;

use daraja_sim::{Behaviour, Phone};
use routeros_sim::{DeviceState, Service};
use tawi_shared::IdSource;
use tokio::time::Instant;

use crate::backhaul::Outage;
use crate::world::{Customer, NewCustomer, World};

/// Demo time: a "month" of the home plan lasts so long, so that expiry can be watched.
const HOME_SECONDS: u64 = 240;
/// And a hotspot pass so long.
const HOTSPOT_SECONDS: u64 = 120;
/// A link that goes down stays so for this long at the least, and twice it at the most.
const OUTAGE: Duration = Duration::from_secs(20);
/// Of this many steps, one cuts a link.
const STEPS_PER_OUTAGE: u64 = 120;
/// Of this many steps, one customer without service is asked to pay.
const STEPS_PER_PAYMENT: u64 = 2;
/// Devices of customers who have not paid dial this often.
const REDIAL_MS: u64 = 1_500;
/// Customers who pay before the dashboard is shown, so that it is not empty.
const PAID_AT_THE_START: usize = 20;

/// Everybody who lives here.
pub struct Life {
    customers: Vec<Customer>,
    chance: IdSource,
    mended_at: Option<(usize, Instant)>,
    next_traffic: usize,
}

impl Life {
    /// Moves the customers in; a few of them pay at once.
    ///
    /// # Errors
    /// When the controller or a simulator refuses.
    pub async fn begin(
        world: &World,
        count: u32,
        seed: u64,
        say: &mut impl FnMut(&str),
    ) -> anyhow::Result<Self> {
        let home = world.add_plan("Home 10", Service::Pppoe, "home-10", 10, 150_000, HOME_SECONDS).await?;
        let fast = world.add_plan("Home 20", Service::Pppoe, "home-20", 20, 250_000, HOME_SECONDS).await?;
        let pass =
            world.add_plan("Hotspot pass", Service::Hotspot, "hotspot-3", 3, 5_000, HOTSPOT_SECONDS).await?;
        let sites = u32::try_from(world.sites.len())?;
        let mut customers = Vec::new();
        for number in 1..=count {
            let (plan, service) = match number % 3 {
                0 => (&pass, Service::Hotspot),
                1 => (&home, Service::Pppoe),
                _ => (&fast, Service::Pppoe),
            };
            let site = usize::try_from(number % sites)?;
            let new = NewCustomer { number, site, plan, service, redial_ms: Some(REDIAL_MS) };
            customers.push(world.add_customer(&new).await?);
            if number % 20 == 0 || number == count {
                say(&format!("{number} of {count} customers"));
            }
        }
        let life = Self { customers, chance: IdSource::seeded(seed), mended_at: None, next_traffic: 0 };
        for customer in life.customers.iter().take(PAID_AT_THE_START) {
            life.asked_to_pay(world, customer).await?;
        }
        Ok(life)
    }

    /// Half a second of life.
    ///
    /// # Errors
    /// When the simulators refuse; a controller that refuses a payment is part of life.
    pub async fn step(&mut self, world: &World, say: &mut impl FnMut(&str)) -> anyhow::Result<()> {
        self.links_fail_and_return(world, say);
        self.bytes_move(world);
        if self.chance.number().is_multiple_of(STEPS_PER_PAYMENT) && !self.customers.is_empty() {
            let index = usize::try_from(self.chance.number())? % self.customers.len();
            if let Some(customer) = self.customers.get(index) {
                let router = world.site(customer.site)?.router.router();
                if router.device(&customer.device)?.state == DeviceState::Dialing {
                    self.asked_to_pay(world, customer).await?;
                }
            }
        }
        Ok(())
    }

    /// Most pay; some refuse, mistype or look away, as people do.
    async fn asked_to_pay(&self, world: &World, customer: &Customer) -> anyhow::Result<()> {
        let behaviour = match self.chance.number() % 12 {
            0 => Behaviour::Refuse,
            1 => Behaviour::WrongPin,
            2 => Behaviour::Ignore,
            _ => Behaviour::Pay,
        };
        let delay_ms = 300 + self.chance.number() % 2_500;
        world
            .daraja
            .handle()
            .set_phone(&customer.phone, Phone { behaviour, delay_ms, ..Phone::default() })?;
        // Refused while an earlier prompt is open, or while nothing is due: the customer tries again another time. That
        // the controller itself is gone is for `World::ensure_running` to say.
        let _ = world.office.ask_for_payment(&customer.subscription).await;
        Ok(())
    }

    fn links_fail_and_return(&mut self, world: &World, say: &mut impl FnMut(&str)) {
        match self.mended_at {
            Some((index, at)) if Instant::now() >= at => {
                if let Some(site) = world.sites.get(index) {
                    site.backhaul.mend();
                    say(&format!("{}: the backhaul is back", site.id));
                }
                self.mended_at = None;
            }
            None if self.chance.number().is_multiple_of(STEPS_PER_OUTAGE) => {
                let count = u64::try_from(world.sites.len()).unwrap_or(1).max(1);
                let index = usize::try_from(self.chance.number() % count).unwrap_or(0);
                let lasts = OUTAGE + Duration::from_millis(self.chance.number() % 20_000);
                if let Some(site) = world.sites.get(index) {
                    site.backhaul.cut(Outage::Silence);
                    say(&format!("{}: the backhaul is down for {} s", site.id, lasts.as_secs()));
                    self.mended_at = Some((index, Instant::now() + lasts));
                }
            }
            Some(_) | None => {}
        }
    }

    /// A few customers a step move bytes, in turn.
    fn bytes_move(&mut self, world: &World) {
        for _ in 0..8 {
            self.next_traffic = (self.next_traffic + 1) % self.customers.len().max(1);
            let Some(customer) = self.customers.get(self.next_traffic) else { return };
            let Some(site) = world.sites.get(customer.site) else { return };
            let download = 200_000 + self.chance.number() % 4_000_000;
            // A device that is offline moves nothing; that is no error here.
            let _ = site.router.router().move_traffic(&customer.device, download / 9, download);
        }
    }
}
