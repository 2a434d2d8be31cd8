//! The configured polls in the description of the public listener.

use std::sync::Arc;

use serde_json::{Value, json};
use utoipa::openapi::{
    Array, Content, Header, HttpMethod, Object, Paths, RefOr, Required, Response, Responses,
    Schema, Type,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::{RequestBody, RequestBodyBuilder},
    schema::{ArrayBuilder, ObjectBuilder, SchemaFormat, SchemaType},
};

use crate::{
    config::modules::Place,
    poll::{Answer, BodyKind, Described, Route, Shape, Taken},
};

/// Adds them.
pub(super) fn add(paths: &mut Paths, routes: &[Arc<Route>]) {
    for described in routes.iter().map(|route| route.described()) {
        for path in &described.paths {
            for method in &described.methods {
                let operation = operation(&described, path, method);
                paths.add_path_operation(path, vec![http_method(method)], operation);
            }
        }
    }
}

fn http_method(method: &str) -> HttpMethod {
    match method {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        _ => HttpMethod::Get,
    }
}

fn operation(described: &Described, path: &str, method: &str) -> Operation {
    let parameters = described.takes.iter().filter_map(parameter);
    let parameters: Vec<_> = parameters.chain(segments(described, path)).collect();
    // Of a GET nothing is expected in the body.
    let body = (method != "GET").then(|| described.body.map(|kind| body(kind, &described.takes)));
    OperationBuilder::new()
        .tag("Legacy polls")
        .summary(Some(described.summary.clone()))
        .operation_id(Some(format!("{} {path}", method.to_lowercase())))
        .parameters(Some(parameters))
        .request_body(body.flatten())
        .responses(responses(described))
        .build()
}

fn parameter(taken: &Taken) -> Option<Parameter> {
    let place = match taken.place {
        Place::Query => ParameterIn::Query,
        Place::Header => ParameterIn::Header,
        Place::Path => ParameterIn::Path,
        Place::Cookie => ParameterIn::Cookie,
        Place::Form | Place::Json => return None,
    };
    let required = match taken.place {
        Place::Path => Required::True,
        _ => Required::False,
    };
    let parameter = ParameterBuilder::new()
        .name(&taken.name)
        .parameter_in(place)
        .required(required)
        .description(Some(taken.what))
        .schema(Some(schema(&taken.shape)));
    Some(parameter.build())
}

/// The segments of the path that nothing is taken from.
fn segments<'a>(described: &'a Described, path: &'a str) -> impl Iterator<Item = Parameter> + 'a {
    let names = path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        let is_taken = |taken: &Taken| matches!(taken.place, Place::Path) && taken.name == name;
        (!described.takes.iter().any(is_taken)).then_some(name)
    });
    names.map(|name| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some("anything"))
            .schema(Some(schema(&Shape::Text)))
            .build()
    })
}

fn schema(shape: &Shape) -> Schema {
    let of = |kind| ObjectBuilder::new().schema_type(SchemaType::Type(kind));
    let object = match shape {
        Shape::Text => of(Type::String),
        Shape::Count => of(Type::Integer).minimum(Some(0)),
        Shape::Size => of(Type::Integer).minimum(Some(1)),
        Shape::Time => {
            let format = SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime);
            of(Type::String).format(Some(format))
        }
        Shape::Token => of(Type::String).pattern(Some("^[0-9a-f]{8}_[0-9a-f]{16}$")),
        Shape::OneOf(words) => of(Type::String).enum_values(Some(words.iter().cloned())),
        Shape::Modules => of(Type::Object).additional_properties(Some(cursor_of_module())),
        Shape::ModuleList => {
            return Schema::Array(Array::new(Object::with_type(SchemaType::AnyValue)));
        }
    };
    Schema::Object(object.build())
}

/// A cursor is written as text or as a number, and `null` is none.
fn cursor_of_module() -> Schema {
    let types = SchemaType::Array(vec![Type::String, Type::Integer, Type::Null]);
    Schema::Object(Object::with_type(types))
}

fn body(kind: BodyKind, takes: &[Taken]) -> RequestBody {
    let (media_type, place) = match kind {
        BodyKind::Form => ("application/x-www-form-urlencoded", Place::Form),
        BodyKind::Json => ("application/json", Place::Json),
    };
    let mut whole = Schema::Object(Object::with_type(SchemaType::Type(Type::Object)));
    for taken in takes.iter().filter(|taken| taken.place == place) {
        let steps = match kind {
            BodyKind::Form => vec![taken.name.clone()],
            BodyKind::Json => steps(&taken.name),
        };
        put(&mut whole, &steps, taken);
    }
    RequestBodyBuilder::new()
        .description(Some("read as this, whatever its `Content-Type`"))
        .required(Some(Required::False))
        .content(media_type, Content::new(Some(whole)))
        .build()
}

/// The names of a JSON pointer.
fn steps(pointer: &str) -> Vec<String> {
    let names = pointer.split('/').skip(1);
    names
        .map(|name| name.replace("~1", "/").replace("~0", "~"))
        .collect()
}

/// Puts a value at its place into an object.
fn put(into: &mut Schema, steps: &[String], taken: &Taken) {
    let Some((first, rest)) = steps.split_first() else {
        *into = with_description(schema(&taken.shape), taken.what);
        return;
    };
    let Schema::Object(object) = into else {
        return;
    };
    let inner = Schema::Object(Object::with_type(SchemaType::Type(Type::Object)));
    let member = object
        .properties
        .entry(first.clone())
        .or_insert(RefOr::T(inner));
    if let RefOr::T(member) = member {
        put(member, rest, taken);
    }
}

fn with_description(schema: Schema, what: &str) -> Schema {
    match schema {
        Schema::Object(object) => {
            Schema::Object(ObjectBuilder::from(object).description(Some(what)).build())
        }
        Schema::Array(array) => {
            Schema::Array(ArrayBuilder::from(array).description(Some(what)).build())
        }
        other => other,
    }
}

fn responses(described: &Described) -> Responses {
    let mut responses = Responses::new();
    for (status, answer) in &described.answers {
        let response = RefOr::T(response(answer));
        responses.responses.insert(status.to_string(), response);
    }
    responses
}

fn response(answer: &Answer) -> Response {
    let mut response = Response::new(answer.when.join("; "));
    for content_type in &answer.content_types {
        let mut content = Content::new(None::<Schema>);
        content.example = answer.example.as_deref().map(example);
        response.content.insert(media_type(content_type), content);
    }
    for (name, what) in &answer.headers {
        let mut header = Header::default();
        header.description = Some((*what).to_owned());
        response.headers.insert(name.clone(), header);
    }
    response
}

/// JSON as such, anything else as text.
fn example(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_no_json| json!(text))
}

/// Without parameters.
fn media_type(content_type: &str) -> String {
    let bare = content_type.split(';').next().unwrap_or_default();
    bare.trim().to_ascii_lowercase()
}
