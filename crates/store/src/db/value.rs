//! What is bound to a placeholder: four types, borrowed from where they are.

use crate::error::Error;

/// One bound value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Nothing.
    Null,
    /// Every number, time and flag.
    Int(i64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

/// A number as a value that borrows nothing.
pub(crate) fn int(number: impl Into<i64>) -> Value<'static> {
    Value::Int(number.into())
}

/// A number that may be missing.
pub(crate) fn int_or_null(number: Option<impl Into<i64>>) -> Value<'static> {
    number.map_or(Value::Null, int)
}

/// Text that may be missing.
pub(crate) fn text_or_null(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, Value::Text)
}

/// What can be bound.
pub trait ToValue {
    /// As a bound value.
    fn value(&self) -> Value<'_>;
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl ToValue for $kind {
            fn value(&self) -> Value<'_> {
                Value::Int(i64::from(*self))
            }
        }
    )*};
}
integers!(i64, i32, i16, u8, u16, u32, bool);

impl ToValue for Value<'_> {
    fn value(&self) -> Value<'_> {
        *self
    }
}

impl ToValue for str {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToValue for String {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToValue for [u8] {
    fn value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl ToValue for Vec<u8> {
    fn value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl<const N: usize> ToValue for [u8; N] {
    fn value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, ToValue::value)
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn value(&self) -> Value<'_> {
        (*self).value()
    }
}

/// The values of all placeholders of a statement.
pub trait Binds {
    /// Hands over one after the other.
    ///
    /// # Errors
    /// Those of `put`.
    fn each(&self, put: &mut dyn FnMut(Value<'_>) -> Result<(), Error>) -> Result<(), Error>;
}

impl<T: ToValue, const N: usize> Binds for [T; N] {
    fn each(&self, put: &mut dyn FnMut(Value<'_>) -> Result<(), Error>) -> Result<(), Error> {
        self.iter().try_for_each(|item| put(item.value()))
    }
}

impl<T: ToValue> Binds for &[T] {
    fn each(&self, put: &mut dyn FnMut(Value<'_>) -> Result<(), Error>) -> Result<(), Error> {
        self.iter().try_for_each(|item| put(item.value()))
    }
}

impl<T: ToValue, const N: usize> Binds for &[T; N] {
    fn each(&self, put: &mut dyn FnMut(Value<'_>) -> Result<(), Error>) -> Result<(), Error> {
        self.iter().try_for_each(|item| put(item.value()))
    }
}

impl Binds for () {
    fn each(&self, _: &mut dyn FnMut(Value<'_>) -> Result<(), Error>) -> Result<(), Error> {
        Ok(())
    }
}

macro_rules! tuples {
    ($($name:ident),+) => {
        impl<$($name: ToValue),+> Binds for ($($name,)+) {
            #[allow(non_snake_case, reason = "the names of the types serve as names of the fields")]
            fn each(&self, put: &mut dyn FnMut(Value<'_>) -> Result<(), Error>) -> Result<(), Error> {
                let ($($name,)+) = self;
                $(put($name.value())?;)+
                Ok(())
            }
        }
    };
}
tuples!(A);
tuples!(A, B);
tuples!(A, B, C);
tuples!(A, B, C, D);
tuples!(A, B, C, D, E);
tuples!(A, B, C, D, E, F);
tuples!(A, B, C, D, E, F, G);
tuples!(A, B, C, D, E, F, G, H);
