//! Places with numbers, in pages: what is in a place stays there, a page that nobody needs any more is given back, and
//! growing moves nothing.

use std::collections::BTreeSet;

/// Places of a page. More would be given back less often.
const PAGE: usize = 64;

/// Things by number.
#[derive(Debug)]
pub(super) struct Slots<T> {
    pages: Vec<Page<T>>,
    /// Pages with room. The first is filled first, so that others become empty.
    open: BTreeSet<usize>,
    taken: usize,
}

#[derive(Debug)]
struct Page<T> {
    /// As many as were needed at one time.
    places: Vec<Option<T>>,
    /// A bit for each place that is taken.
    taken: u64,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), open: BTreeSet::new(), taken: 0 }
    }
}

impl<T> Slots<T> {
    /// How many things there are.
    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// No number is as high.
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.pages.len() * PAGE).unwrap_or(u32::MAX)
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.pages.get(slot as usize / PAGE)?.places.get(slot as usize % PAGE)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.pages.get_mut(slot as usize / PAGE)?.places.get_mut(slot as usize % PAGE)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.places.iter().flatten())
    }

    /// Puts what `make` makes of the lowest free number there. `None` where there is none left.
    pub(super) fn insert(&mut self, make: impl FnOnce(u32) -> T) -> Option<u32> {
        let number = self.open.first().copied().unwrap_or(self.pages.len());
        let slot = |place: usize| u32::try_from(number * PAGE + place).ok();
        slot(PAGE)?;
        if number == self.pages.len() {
            self.pages.push(Page { places: Vec::new(), taken: 0 });
            self.open.insert(number);
        }
        let page = &mut self.pages[number];
        let place = page.taken.trailing_ones() as usize;
        let slot = slot(place)?;
        if page.places.is_empty() {
            page.places.reserve_exact(PAGE);
        }
        if place == page.places.len() {
            page.places.push(None);
        }
        page.places[place] = Some(make(slot));
        page.taken |= 1 << place;
        self.taken += 1;
        if page.taken == u64::MAX {
            self.open.remove(&number);
        }
        Some(slot)
    }

    /// Takes what has this number.
    pub(super) fn take(&mut self, slot: u32) -> Option<T> {
        let (number, place) = (slot as usize / PAGE, slot as usize % PAGE);
        let page = self.pages.get_mut(number)?;
        let thing = page.places.get_mut(place)?.take()?;
        page.taken &= !(1 << place);
        if page.taken == 0 {
            page.places = Vec::new();
        }
        self.taken -= 1;
        self.open.insert(number);
        Some(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_to_what_got_it_until_it_is_taken() {
        let mut slots = Slots::default();
        let numbers: Vec<_> = (0..200).map(|n| slots.insert(|slot| (n, slot)).unwrap()).collect();
        assert_eq!(slots.get(numbers[130]), Some(&(130, 130)));
        assert_eq!(slots.take(130), Some((130, 130)));
        assert_eq!(slots.take(130), None);
        assert_eq!((slots.get(130), slots.get(100_000)), (None, None));
        slots.get_mut(7).unwrap().0 = 8;
        assert_eq!((slots.len(), slots.iter().count()), (199, 199));
        assert_eq!(slots.insert(|slot| (0, slot)), Some(130));
        assert_eq!(slots.get(7), Some(&(8, 7)));
    }

    #[test]
    fn an_empty_page_is_given_back_and_the_first_with_room_is_filled() {
        let mut slots = Slots::default();
        let numbers: Vec<_> = (0..3 * PAGE).map(|_| slots.insert(|slot| slot).unwrap()).collect();
        for slot in &numbers[PAGE..2 * PAGE] {
            slots.take(*slot);
        }
        let capacity = |slots: &Slots<u32>| slots.pages.iter().map(|page| page.places.capacity()).sum::<usize>();
        assert_eq!(capacity(&slots), 2 * PAGE);
        slots.take(3);
        assert_eq!(slots.insert(|slot| slot), Some(3));
        assert_eq!(slots.insert(|slot| slot), Some(numbers[PAGE]));
        assert_eq!(slots.end(), 3 * 64);
    }
}
