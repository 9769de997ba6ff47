//! Every text of the pay page, in English and in Swahili, and which of them a visitor reads. Pure.
//!
//! One table, so that neither language is behind the other. What stands in braces is filled in by [`Language::fill`].

/// What a visitor reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Language {
    #[default]
    English,
    Swahili,
}

macro_rules! texts {
    ($($name:ident: $english:literal / $swahili:literal;)+) => {
        /// A text in both languages.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Text {
            $($name,)+
        }

        impl Text {
            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$name,)+];

            fn both(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$name => ($english, $swahili),)+
                }
            }
        }
    };
}

texts! {
    Title: "Pay for your internet" / "Lipia intaneti yako";
    Switch: "Kiswahili" / "English";
    Continue: "Continue" / "Endelea";

    AccountNumber: "Account number" / "Nambari ya akaunti";
    AccountHint: "Eight digits, from your internet provider." / "Tarakimu nane, kutoka kwa mtoa huduma wako wa intaneti.";
    NotEightDigits: "An account number has eight digits: look for a missing digit, or one too many."
        / "Nambari ya akaunti ina tarakimu nane: tafuta tarakimu inayokosekana, au iliyozidi.";
    CheckDigit: "That account number is not right: look for a wrong digit, or two that changed places."
        / "Nambari hiyo ya akaunti si sahihi: tafuta tarakimu iliyokosewa, au mbili zilizobadilishana nafasi.";
    UnknownAccount: "Nobody has that account number: look for a wrong digit, or ask your internet provider."
        / "Hakuna mwenye nambari hiyo ya akaunti: tafuta tarakimu iliyokosewa, au uliza mtoa huduma wako wa intaneti.";
    OtherAccount: "Another account" / "Akaunti nyingine";

    NoLines: "This account has no internet line yet: ask your internet provider."
        / "Akaunti hii bado haina laini ya intaneti: uliza mtoa huduma wako wa intaneti.";
    ChooseLine: "Which line is it for?" / "Ni kwa ajili ya laini gani?";
    LineNumber: "Line {number}" / "Laini {number}";
    OtherLine: "Another line of this account" / "Laini nyingine ya akaunti hii";
    PaidUntil: "Paid until {until}: {left} left." / "Imelipiwa hadi {until}: zimebaki {left}.";
    EndedOn: "The paid time ended on {until}." / "Muda uliolipiwa uliisha {until}.";
    NeverPaid: "Not paid for yet." / "Bado haijalipiwa.";
    OnHold: "This line is on hold, and a payment does not bring it back: ask your internet provider."
        / "Laini hii imesimamishwa, na malipo hayatairudisha: uliza mtoa huduma wako wa intaneti.";
    NotHere: "This line cannot be paid for here now: ask your internet provider."
        / "Laini hii haiwezi kulipiwa hapa kwa sasa: uliza mtoa huduma wako wa intaneti.";
    Covered: "There is enough money in the account for the next period: nothing is to be paid now."
        / "Akaunti ina pesa za kutosha kwa kipindi kijacho: hakuna cha kulipa sasa.";
    NextInBalance: "There is enough money in the account for the next period. This line does not go on by itself: open this page when its time is over."
        / "Akaunti ina pesa za kutosha kwa kipindi kijacho. Laini hii haiendelei yenyewe: fungua ukurasa huu muda wake utakapoisha.";
    FromBalance: "There is enough money in the account for this plan: no phone is asked."
        / "Akaunti ina pesa za kutosha kwa kifurushi hiki: hakuna simu itakayoombwa pesa.";
    Connect: "Connect now" / "Unganisha sasa";
    ToPay: "To pay now" / "Cha kulipa sasa";
    LessBalance: "What is in the account already is taken off." / "Pesa zilizo kwenye akaunti tayari zimeondolewa.";
    Phone: "M-Pesa phone that pays" / "Simu ya M-Pesa itakayolipa";
    PhoneHint: "Yours or anybody's who pays for you. It shows a request to enter the M-Pesa PIN."
        / "Yako au ya yeyote anayekulipia. Itaonyesha ombi la kuweka PIN ya M-Pesa.";
    BadPhone: "Write a Kenyan mobile number like 0712 345 678." / "Andika nambari ya simu ya Kenya kama 0712 345 678.";
    Send: "Send the request" / "Tuma ombi";

    Locked: "A request for this line is open. Enter the PIN on the phone that shows it, and do not pay twice. Another can be sent in {wait}."
        / "Ombi la laini hii bado liko wazi. Weka PIN kwenye simu inayolionyesha, na usilipe mara mbili. Lingine linaweza kutumwa baada ya {wait}.";
    JustPaid: "This line was paid for a moment ago. Another period can be paid for in {wait}."
        / "Laini hii imelipiwa sasa hivi. Kipindi kingine kinaweza kulipiwa baada ya {wait}.";
    Unclear: "It is not clear whether the last request was paid: do not pay again. A payment that comes is credited. Another request can be sent in {wait}."
        / "Haijulikani kama ombi la mwisho limelipwa: usilipe tena. Malipo yakifika yatahesabiwa. Ombi lingine linaweza kutumwa baada ya {wait}.";
    SaidPaid: "M-Pesa says that the last request was paid, and its receipt is on the way: do not pay again. It is credited by itself. Another request can be sent in {wait}."
        / "M-Pesa inasema ombi la mwisho limelipwa, na risiti yake iko njiani: usilipe tena. Itahesabiwa yenyewe. Ombi lingine linaweza kutumwa baada ya {wait}.";
    TooSoon: "M-Pesa takes the same amount from the same phone only after two minutes. Another request can be sent in {wait}."
        / "M-Pesa inakubali kiasi kilekile kutoka simu ileile baada ya dakika mbili tu. Ombi lingine linaweza kutumwa baada ya {wait}.";
    PhoneBusy: "Nothing was sent: that phone has another request open. Answer it, or wait {wait}."
        / "Hakuna kilichotumwa: simu hiyo ina ombi lingine lililo wazi. Lijibu, au subiri {wait}.";
    BalanceBusy: "Nothing was sent: another open request counts on the money in the account. Wait {wait}."
        / "Hakuna kilichotumwa: ombi lingine lililo wazi linategemea pesa zilizo kwenye akaunti. Subiri {wait}.";
    JustBought: "Nothing was sent: this line was paid for a moment ago. Another period can be paid for in {wait}."
        / "Hakuna kilichotumwa: laini hii imelipiwa sasa hivi. Kipindi kingine kinaweza kulipiwa baada ya {wait}.";
    FormOld: "Nothing was sent: the page had been open too long, or the network has changed. Press the button once more."
        / "Hakuna kilichotumwa: ukurasa ulikuwa wazi muda mrefu, au mtandao umebadilika. Bonyeza kitufe mara nyingine.";
    Slow: "It takes longer than usual. Wait two minutes and look at the phone before you send another request."
        / "Inachukua muda kuliko kawaida. Subiri dakika mbili na uangalie simu kabla ya kutuma ombi lingine.";
    TooMany: "Too many requests" / "Maombi ni mengi mno";
    TooManyUntil: "Nothing was sent. Try again in {wait}." / "Hakuna kilichotumwa. Jaribu tena baada ya {wait}.";
    NotSetUp: "Requests to a phone cannot be sent here: ask your internet provider how to pay."
        / "Hapa huwezi kutuma maombi kwa simu: uliza mtoa huduma wako wa intaneti jinsi ya kulipa.";

    CodeLink: "A code to scan with another phone" / "Msimbo wa kuskani kwa simu nyingine";
    CodeTitle: "Scan to pay" / "Skani ulipe";
    CodeHow: "On the phone that pays, open the M-Pesa app, choose Scan QR, compare the amount and the account, and enter your PIN."
        / "Kwenye simu itakayolipa, fungua programu ya M-Pesa, chagua Scan QR, linganisha kiasi na akaunti, kisha weka PIN yako.";
    NoCode: "There is no code now: M-Pesa does not give one. Pay by the steps below."
        / "Hakuna msimbo kwa sasa: M-Pesa haitoi. Lipa kwa hatua zilizo hapa chini.";

    StepsPaybill: "Pay by Paybill instead" / "Lipa kwa Paybill badala yake";
    StepsTill: "Pay by Buy Goods instead" / "Lipa kwa Buy Goods badala yake";
    StepMenu: "In the M-Pesa menu choose Lipa na M-Pesa." / "Katika menyu ya M-Pesa chagua Lipa na M-Pesa.";
    StepPaybill: "Choose Pay Bill." / "Chagua Pay Bill.";
    StepTill: "Choose Buy Goods." / "Chagua Buy Goods.";
    StepBusiness: "Business number" / "Nambari ya biashara";
    StepTillNumber: "Till number" / "Nambari ya till";
    StepAmount: "Amount" / "Kiasi";
    StepPin: "Enter your PIN, and wait for the message of M-Pesa." / "Weka PIN yako, na usubiri ujumbe wa M-Pesa.";
    TillPhone: "A till takes no account number: pay from the phone that your internet provider knows as yours."
        / "Till haichukui nambari ya akaunti: lipa kwa simu ambayo mtoa huduma wako wa intaneti anaijua kuwa yako.";
    SeveralLines: "With several lines the money goes into the account. Come back here then and press the button of the line."
        / "Ukiwa na laini kadhaa pesa zinaingia kwenye akaunti. Kisha rudi hapa na ubonyeze kitufe cha laini.";

    Sending: "Sending the request" / "Ombi linatumwa";
    Prompted: "Look at the phone" / "Angalia simu";
    EnterPin: "{phone} shows a request for {amount}. Enter the M-Pesa PIN there."
        / "{phone} inaonyesha ombi la {amount}. Weka PIN ya M-Pesa huko.";
    ShowsByItself: "This page shows the result by itself. Do not pay twice."
        / "Ukurasa huu utaonyesha matokeo wenyewe. Usilipe mara mbili.";
    NotKnown: "It is not known yet: do not pay again" / "Bado haijulikani: usilipe tena";
    NotKnownWhy: "M-Pesa has not answered, and the request may be on {phone}. If it is there, enter the PIN."
        / "M-Pesa haijajibu, na ombi linaweza kuwa kwenye {phone}. Likiwa hapo, weka PIN.";
    Unreceipted: "Paid, the receipt is on its way: do not pay again" / "Imelipwa, risiti iko njiani: usilipe tena";
    UnreceiptedWhy: "M-Pesa says that {amount} was paid. The period begins when its receipt is here."
        / "M-Pesa inasema {amount} zimelipwa. Kipindi kitaanza risiti yake ikifika hapa.";
    OpenOnTrust: "Meanwhile the line may be used until {trusted}." / "Kwa sasa laini inaweza kutumika hadi {trusted}.";
    Review: "It is not clear: do not pay again" / "Haieleweki: usilipe tena";
    ReviewWhy: "M-Pesa gave an answer that a person must look at. Your internet provider sees it in the list. Money that was paid is not lost."
        / "M-Pesa imetoa jibu ambalo lazima mtu aliangalie. Mtoa huduma wako wa intaneti analiona kwenye orodha. Pesa zilizolipwa hazijapotea.";
    Expired: "Nothing was heard from the phone" / "Hakuna kilichosikika kutoka kwa simu";
    IfPaid: "If M-Pesa sent a message that you paid, do not pay again: it is credited when it is reported."
        / "Ikiwa M-Pesa imetuma ujumbe kwamba umelipa, usilipe tena: zitawekwa kwenye akaunti zikiripotiwa.";
    NotPaid: "Not paid" / "Haijalipwa";
    NoMoney: "There is too little money in M-Pesa. Top up, or pay from another phone."
        / "M-Pesa haina pesa za kutosha. Ongeza pesa, au lipa kwa simu nyingine.";
    DayLimit: "M-Pesa's limit for this phone is reached: pay from another phone, or tomorrow."
        / "Kikomo cha M-Pesa cha simu hii kimefikiwa: lipa kwa simu nyingine, au kesho.";
    SameAmount: "M-Pesa takes the same amount from one phone only once in two minutes: wait two minutes."
        / "M-Pesa huchukua kiasi kilekile kutoka simu moja mara moja tu kwa dakika mbili: subiri dakika mbili.";
    Busy: "M-Pesa takes no requests just now, and nothing is on the phone."
        / "M-Pesa haipokei maombi kwa sasa, na hakuna kilicho kwenye simu.";
    MenuOpen: "Another M-Pesa menu was open on the phone: close it, and try again."
        / "Menyu nyingine ya M-Pesa ilikuwa wazi kwenye simu: ifunge, kisha ujaribu tena.";
    Cancelled: "The request was cancelled on the phone." / "Ombi limekatishwa kwenye simu.";
    NoAnswer: "The phone did not answer: it was off, out of reach, or nobody entered the PIN in time."
        / "Simu haikujibu: ilikuwa imezimwa, haipatikani, au hakuna aliyeweka PIN kwa wakati.";
    WrongPin: "The M-Pesa PIN was wrong." / "PIN ya M-Pesa haikuwa sahihi.";
    PinLocked: "The M-Pesa PIN is locked: call Safaricom on 100, or pay from another phone."
        / "PIN ya M-Pesa imefungwa: piga simu Safaricom 100, au lipa kwa simu nyingine.";
    OwnFault: "M-Pesa does not take payments for this internet provider just now: please tell them."
        / "M-Pesa haipokei malipo ya mtoa huduma huyu wa intaneti kwa sasa: tafadhali mjulishe.";
    Broken: "Something went wrong on our side" / "Kuna hitilafu upande wetu";
    MayBeOnPhone: "A request may be on the phone: if it asks for the PIN, answer it, and do not pay again. What was paid is not lost. Look again in a minute."
        / "Huenda ombi liko kwenye simu: likiomba PIN, lijibu, na usilipe tena. Kilicholipwa hakijapotea. Angalia tena baada ya dakika moja.";
    NothingIsLost: "If you have paid already, do not pay again: what was paid is not lost. Look again in a minute."
        / "Kama umeshalipa, usilipe tena: kilicholipwa hakijapotea. Angalia tena baada ya dakika moja.";
    TryAgain: "Back to the payment" / "Rudi kwenye malipo";
    LookAgain: "Look again" / "Angalia tena";

    Paid: "Paid" / "Imelipwa";
    Received: "{amount} were received, receipt {receipt}." / "{amount} zimepokelewa, risiti {receipt}.";
    BalancePaid: "Paid from the money in the account." / "Imelipwa kutoka kwa pesa zilizo kwenye akaunti.";
    RunsUntil: "The line is paid until {until}." / "Laini imelipiwa hadi {until}.";
    Connected: "Paid and connected" / "Imelipwa na imeunganishwa";
    LineOpen: "Paid, the line is open" / "Imelipwa, laini iko wazi";
    Restart: "If the internet does not come within a minute, switch your router or device off and on."
        / "Intaneti isipokuja ndani ya dakika moja, zima na uwashe ruta au kifaa chako.";
    Opening: "Paid, the line is being opened" / "Imelipwa, laini inafunguliwa";
    SiteOffline: "Paid, and your site is offline now" / "Imelipwa, lakini kituo chako hakipatikani kwa sasa";
    SiteOfflineWhy: "The line opens by itself as soon as the site is back: do not pay again."
        / "Laini itafunguka yenyewe kituo kikirudi: usilipe tena.";
    TimeStartsThen: "The paid time starts then." / "Muda uliolipiwa utaanza hapo.";
    WaitsForSite: "Paid for: the time starts when your site hears of it. A further payment buys the time after it."
        / "Imelipiwa: muda utaanza kituo chako kikipata habari. Malipo mengine yatanunua muda unaofuata.";
    LineFails: "Paid, and the line could not be opened" / "Imelipwa, lakini laini haikuweza kufunguliwa";
    LineFailsWhy: "Your internet provider sees this in the list: do not pay again."
        / "Mtoa huduma wako wa intaneti analiona hili kwenye orodha: usilipe tena.";
    InBalance: "Paid into the account" / "Zimelipwa kwenye akaunti";
    TooLittle: "It is not enough for a period, and waits in the account." / "Hazitoshi kipindi kimoja, na zinasubiri kwenye akaunti.";
    WaitsOnHold: "The line is on hold, and the money waits in the account: ask your internet provider."
        / "Laini imesimamishwa, na pesa zinasubiri kwenye akaunti: uliza mtoa huduma wako wa intaneti.";
    WaitsForPerson: "It bought nothing by itself and waits in the account: your internet provider sees it."
        / "Hazikununua chochote zenyewe na zinasubiri kwenye akaunti: mtoa huduma wako wa intaneti anaziona.";

    ClaimLink: "Paid already, and not online? Find the payment" / "Umeshalipa na huna intaneti? Tafuta malipo";
    ClaimTitle: "Find a payment" / "Tafuta malipo";
    ClaimWhy: "For a payment to the till, or with another account number, that did not reach this account."
        / "Kwa malipo kwenye till, au yenye nambari nyingine ya akaunti, ambayo hayakufika kwenye akaunti hii.";
    Receipt: "M-Pesa receipt number" / "Nambari ya risiti ya M-Pesa";
    ReceiptHint: "The ten letters and digits at the beginning of M-Pesa's message."
        / "Herufi na tarakimu kumi zilizo mwanzoni mwa ujumbe wa M-Pesa.";
    BadReceipt: "A receipt number has ten letters and digits, such as RGP6CZDYG6: copy it from M-Pesa's message."
        / "Nambari ya risiti ina herufi na tarakimu kumi, kama RGP6CZDYG6: inakili kutoka kwa ujumbe wa M-Pesa.";
    ClaimPhone: "Phone that paid" / "Simu iliyolipa";
    ClaimPhoneHint: "The number that M-Pesa's message came to." / "Nambari iliyopokea ujumbe wa M-Pesa.";
    Claim: "Find the payment" / "Tafuta malipo";
    ClaimFormOld: "This page was open too long, or came from elsewhere: please try again."
        / "Ukurasa huu ulikuwa wazi muda mrefu, au ulitoka kwingine: tafadhali jaribu tena.";
    NothingWaits: "Not heard of yet: do not pay again" / "Bado haijasikika: usilipe tena";
    NotHeardOfYet: "No payment with this receipt number from this phone waits for its owner. M-Pesa can take some minutes to tell of one: look again then."
        / "Hakuna malipo yenye nambari hii ya risiti kutoka simu hii yanayosubiri mwenyewe. M-Pesa inaweza kuchukua dakika kadhaa kuyaripoti: angalia tena baadaye.";
    CompareReceipt: "Compare the receipt number and the phone with M-Pesa's message. If it stays so, show the message to your internet provider."
        / "Linganisha nambari ya risiti na simu na ujumbe wa M-Pesa. Ikibaki hivyo, mwonyeshe mtoa huduma wako wa intaneti ujumbe huo.";
    GoesBack: "It is being given back to the phone that paid" / "Yanarudishwa kwa simu iliyolipa";
    GoesBackThen: "M-Pesa sends a message when it is there. If it cannot be given back, it waits here again: look again later."
        / "M-Pesa itatuma ujumbe yakifika. Yasipoweza kurudishwa, yatasubiri hapa tena: angalia tena baadaye.";
    GoesBackUnknown: "It was to be given back, and it is not known yet whether it went back" / "Yalikuwa yarudishwe, na bado haijulikani kama yalirudi";
    GoesBackLooked: "Your internet provider is looking into it: see whether M-Pesa sent you a message, and look again later."
        / "Mtoa huduma wako wa intaneti anachunguza: angalia kama M-Pesa ilikutumia ujumbe, na uangalie hapa tena baadaye.";
    WentBack: "It was given back to the phone that paid" / "Yalirudishwa kwa simu iliyolipa";
    WentBackWhere: "M-Pesa sent a message about it. Ask your internet provider if the money is not there."
        / "M-Pesa ilituma ujumbe kuhusu hilo. Uliza mtoa huduma wako wa intaneti kama pesa hazipo.";
    ShowMessage: "Or show M-Pesa's message to your internet provider." / "Au mwonyeshe mtoa huduma wako wa intaneti ujumbe wa M-Pesa.";
    TheirsAlready: "It is on your account already" / "Tayari iko kwenye akaunti yako";

    Second: "1 second" / "sekunde 1";
    Seconds: "{n} seconds" / "sekunde {n}";
    Minute: "1 minute" / "dakika 1";
    Minutes: "{n} minutes" / "dakika {n}";
    Hour: "1 hour" / "saa 1";
    Hours: "{n} hours" / "saa {n}";
    Day: "1 day" / "siku 1";
    Days: "{n} days" / "siku {n}";
}

impl Language {
    /// What was chosen, or else what the browser prefers; English where it prefers neither.
    pub(super) fn chosen(asked: &str, accepted: &str) -> Self {
        Self::of(asked).unwrap_or_else(|| {
            let mut best = (Self::English, 0.0_f32);
            for range in accepted.split(',') {
                let mut parts = range.split(';');
                let tag = parts.next().unwrap_or_default();
                let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.trim().parse().ok());
                let weight: f32 = weight.unwrap_or(1.0);
                if let Some(language) = Self::of(tag).filter(|_| weight > best.1) {
                    best = (language, weight);
                }
            }
            best.0
        })
    }

    fn of(tag: &str) -> Option<Self> {
        match tag.trim().get(..2)?.to_ascii_lowercase().as_str() {
            "en" => Some(Self::English),
            "sw" => Some(Self::Swahili),
            _ => None,
        }
    }

    /// The tag of the language, in addresses and in the page.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Swahili => "sw",
        }
    }

    /// The other one.
    pub(super) fn other(self) -> Self {
        match self {
            Self::English => Self::Swahili,
            Self::Swahili => Self::English,
        }
    }

    /// A text as it stands.
    pub(super) fn say(self, text: Text) -> &'static str {
        let (english, swahili) = text.both();
        match self {
            Self::English => english,
            Self::Swahili => swahili,
        }
    }

    /// A text with what stands in braces filled in.
    pub(super) fn fill(self, text: Text, values: &[(&str, &str)]) -> String {
        let begin = self.say(text).to_owned();
        values.iter().fold(begin, |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// A length of time in its largest unit: what is left of a period, or how long to wait.
    pub(super) fn length(self, length: std::time::Duration) -> String {
        let seconds = length.as_secs().max(1);
        let (count, one, many) = match seconds {
            0..=119 => (seconds, Text::Second, Text::Seconds),
            120..=7_199 => (seconds.div_ceil(60), Text::Minute, Text::Minutes),
            7_200..=172_799 => (seconds / 3_600, Text::Hour, Text::Hours),
            _ => (seconds / 86_400, Text::Day, Text::Days),
        };
        self.counted(count, one, many)
    }

    /// The length of a plan's period, in the largest unit that it is whole in.
    pub(super) fn period(self, seconds: u64) -> String {
        match seconds {
            s if s >= 86_400 && s % 86_400 == 0 => self.counted(s / 86_400, Text::Day, Text::Days),
            s if s >= 3_600 && s % 3_600 == 0 => self.counted(s / 3_600, Text::Hour, Text::Hours),
            s if s >= 60 && s % 60 == 0 => self.counted(s / 60, Text::Minute, Text::Minutes),
            s => self.counted(s, Text::Second, Text::Seconds),
        }
    }

    fn counted(self, count: u64, one: Text, many: Text) -> String {
        if count == 1 { self.say(one).to_owned() } else { self.fill(many, &[("n", &count.to_string())]) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn braces(text: &str) -> Vec<&str> {
        let mut names: Vec<_> =
            text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn both_languages_say_everything_with_the_same_things_filled_in() {
        for text in Text::ALL {
            let (english, swahili) = text.both();
            assert!(!english.is_empty() && !swahili.is_empty(), "{text:?}");
            assert_ne!(english, swahili, "{text:?} is not translated");
            assert_eq!(braces(english), braces(swahili), "{text:?}");
            assert_eq!(
                english.ends_with('.'),
                swahili.ends_with('.'),
                "{text:?}: both are sentences or neither is"
            );
        }
    }

    #[test]
    fn a_language_that_was_chosen_goes_before_what_the_browser_prefers() {
        let check = |asked: &str, accepted: &str, expected: Language| {
            assert_eq!(Language::chosen(asked, accepted), expected, "{asked:?} {accepted:?}");
        };
        check("", "", Language::English);
        check("sw", "en", Language::Swahili);
        check("en", "sw", Language::English);
        check("", "sw-KE,sw;q=0.9,en;q=0.8", Language::Swahili);
        check("", "en-GB,en;q=0.9,sw;q=0.8", Language::English);
        check("", "fr, sw;q=0.5, en;q=0.4", Language::Swahili);
        check("", "fr;q=1, *;q=0.1", Language::English);
        check("xx", "sw", Language::Swahili);
        check("é", "\u{ffff}", Language::English);
        check("", "sw;q=0", Language::English);
        check("", "sw;q=much", Language::Swahili);
    }

    #[test]
    fn lengths_are_told_in_both_languages() {
        let check = |seconds: u64, english: &str, swahili: &str| {
            let length = Duration::from_secs(seconds);
            assert_eq!(Language::English.length(length), english);
            assert_eq!(Language::Swahili.length(length), swahili);
        };
        check(0, "1 second", "sekunde 1");
        check(119, "119 seconds", "sekunde 119");
        check(121, "3 minutes", "dakika 3");
        check(7_200, "2 hours", "saa 2");
        check(3 * 86_400 + 5, "3 days", "siku 3");
        assert_eq!(Language::English.period(86_400), "1 day");
        assert_eq!(Language::Swahili.period(30 * 86_400), "siku 30");
        assert_eq!(Language::English.period(5_400), "90 minutes");
    }
}
